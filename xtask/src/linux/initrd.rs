//! An initrd: a cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst) with a busybox and a script.

/// A first process that shows a shell at work, and powers off. Its lines are what [`super::judge`] waits for.
pub const TO_SHELL: &str = "\
#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox echo \"SHELL processors $(busybox nproc)\"
busybox echo \"SHELL checksum $(busybox seq 1 100000 | busybox sha256sum)\"
busybox echo \"SHELL end\"
busybox sleep 1
busybox poweroff -f
";
/// Modes: a directory, a program.
const DIRECTORY: u32 = 0o40755;
const PROGRAM: u32 = 0o100755;

/// The archive; `init` is what the first process does.
pub fn build(busybox: &[u8], init: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    let entries: [(&str, u32, &[u8]); 3] =
        [("bin", DIRECTORY, b""), ("bin/busybox", PROGRAM, busybox), ("init", PROGRAM, init.as_bytes())];
    for (number, (name, mode, bytes)) in (1..).zip(entries) {
        add(&mut archive, number, name, mode, bytes);
    }
    add(&mut archive, 0, "TRAILER!!!", 0, b"");
    archive
}

fn add(archive: &mut Vec<u8>, number: u32, name: &str, mode: u32, bytes: &[u8]) {
    // Inode, mode, owner, group, links, time, size, four device numbers, the name's length with its zero, no checksum.
    let fields = [number, mode, 0, 0, 1, 0, bytes.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    archive.extend_from_slice(b"070701");
    fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_has_its_entries_on_multiples_of_four() {
        let archive = build(b"12345", TO_SHELL);
        let mut names = Vec::new();
        let mut rest = &archive[..];
        while !rest.is_empty() {
            assert!(rest.starts_with(b"070701"));
            let field =
                |n: usize| u32::from_str_radix(std::str::from_utf8(&rest[6 + 8 * n..][..8]).unwrap(), 16).unwrap();
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            names.push(String::from_utf8_lossy(&rest[110..110 + name_size - 1]).into_owned());
            let data = (110 + name_size).next_multiple_of(4);
            rest = &rest[(data + size).next_multiple_of(4)..];
        }
        assert_eq!(names, ["bin", "bin/busybox", "init", "TRAILER!!!"]);
    }
}
