//! Images that are not raw: known by what they begin with, so that nobody boots a header.

/// A kind of image that cannot be read: what it is called, and the command that makes a raw one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: &'static str,
    /// The command, with `{}` for the file.
    command: &'static str,
}

impl Foreign {
    /// The command that makes a raw image of the file.
    pub fn command(&self, path: &str) -> String {
        self.command.replace("{}", path)
    }
}

/// The kinds: where the signature lies, the signature, the kind.
const KINDS: &[(usize, &[u8], Foreign)] = &[
    (0, b"QFI\xFB", Foreign { name: "qcow2 image", command: "qemu-img convert -O raw {} {}.raw" }),
    (0, b"KDMV", Foreign { name: "VMDK image", command: "qemu-img convert -f vmdk -O raw {} {}.raw" }),
    (0, b"COWD", Foreign { name: "VMDK image", command: "qemu-img convert -f vmdk -O raw {} {}.raw" }),
    (
        0,
        b"# Disk DescriptorFile",
        Foreign { name: "VMDK descriptor", command: "qemu-img convert -f vmdk -O raw {} {}.raw" },
    ),
    (0, b"conectix", Foreign { name: "dynamic VHD image", command: "qemu-img convert -f vpc -O raw {} {}.raw" }),
    (0, b"vhdxfile", Foreign { name: "VHDX image", command: "qemu-img convert -f vhdx -O raw {} {}.raw" }),
    (0x40, b"\x7F\x10\xDA\xBE", Foreign { name: "VDI image", command: "qemu-img convert -f vdi -O raw {} {}.raw" }),
    (
        0,
        b"WithoutFreeSpace",
        Foreign { name: "Parallels image", command: "qemu-img convert -f parallels -O raw {} {}.raw" },
    ),
    (0, b"QED\0", Foreign { name: "QED image", command: "qemu-img convert -f qed -O raw {} {}.raw" }),
    (
        0,
        b"Bochs Virtual HD Image",
        Foreign { name: "Bochs growing or undoable image", command: "qemu-img convert -f bochs -O raw {} {}.raw" },
    ),
    (0, b"\x1F\x8B\x08", Foreign { name: "gzip file", command: "gunzip -k {}" }),
    (0, b"\xFD7zXZ\0", Foreign { name: "xz file", command: "unxz -k {}" }),
    (0, b"BZh", Foreign { name: "bzip2 file", command: "bunzip2 -k {}" }),
    (0, b"\x28\xB5\x2F\xFD", Foreign { name: "zstd file", command: "unzstd {}" }),
    (0, b"PK\x03\x04", Foreign { name: "zip file", command: "unzip {}" }),
    (0, b"7z\xBC\xAF\x27\x1C", Foreign { name: "7z file", command: "7z x {}" }),
];

/// What an image with this first sector is, if it is not raw.
pub fn foreign(first: &[u8]) -> Option<Foreign> {
    let found =
        KINDS.iter().find(|(at, signature, _)| first.get(*at..).is_some_and(|rest| rest.starts_with(signature)));
    found.map(|(_, _, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_that_is_not_raw_is_known_and_one_that_is_is_not() {
        let mut sector = vec![0; 512];
        sector[..4].copy_from_slice(b"QFI\xFB");
        let kind = foreign(&sector).expect("a kind");
        assert_eq!((kind.name, kind.command("c.q").as_str()), ("qcow2 image", "qemu-img convert -O raw c.q c.q.raw"));
        sector[..4].fill(0);
        sector[0x40..0x44].copy_from_slice(b"\x7F\x10\xDA\xBE");
        assert_eq!(foreign(&sector).map(|kind| kind.name), Some("VDI image"));
        for first in [&[0xEB, 0x3C, 0x90][..], &[0xFA, 0x31], &[], b"QFI"] {
            assert_eq!(foreign(first), None);
        }
    }
}
