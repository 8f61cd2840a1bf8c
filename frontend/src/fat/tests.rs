use super::*;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rvmx-emu-fat-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("EFI/BOOT")).expect("a folder");
        fs::write(path.join("EFI/BOOT/BOOTX64.EFI"), [7; 10_000]).expect("a file");
        fs::write(path.join("read me, please.txt"), "hello").expect("a file");
        Self(path)
    }

    fn attach(&self) -> (FatFolder, MachineConfig) {
        let mut machine = MachineConfig { fat: Some(self.0.clone()), ..MachineConfig::default() };
        let fat = FatFolder::attach(&mut machine).expect("an image").expect("a folder");
        (fat, machine)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a guest would do with the disk's files.
fn guest(fat: &FatFolder, act: impl FnOnce(&fatfs::Dir<image::Partition>)) {
    let file = fs::OpenOptions::new().read(true).write(true).open(fat.image()).expect("the image");
    let length = file.metadata().expect("its length").len() - image::PARTITION;
    let partition = image::Partition::new(file, length, u64::MAX);
    let system = fatfs::FileSystem::new(partition, fatfs::FsOptions::new()).expect("a file system");
    act(&system.root_dir());
    system.unmount().expect("it is written");
}

#[test]
fn image_is_a_partition_with_the_folders_files_and_the_same_every_time() {
    let folder = Temporary::new("image");
    let (fat, machine) = folder.attach();
    assert_eq!(machine.hda.as_ref().and_then(AtaDrive::image), Some(fat.image()));
    let (again, _) = folder.attach();
    let (first, second) = (fs::read(fat.image()).expect("an image"), fs::read(again.image()).expect("an image"));
    assert!(first == second);
    assert_eq!((first[450], &first[510..512]), (0x0C, &[0x55, 0xAA][..]));
    guest(&fat, |root| {
        let mut bytes = Vec::new();
        root.open_file("efi/boot/bootx64.efi").expect("a file").read_to_end(&mut bytes).expect("its bytes");
        assert_eq!(bytes, [7; 10_000]);
    });
    let path = fat.image().to_owned();
    drop(fat);
    assert!(!path.exists());
}

#[test]
fn files_that_the_guest_writes_changes_and_removes_are_so_in_the_folder() {
    let folder = Temporary::new("back");
    fs::write(folder.0.join("gone.txt"), "x").expect("a file");
    let (mut fat, _) = folder.attach();
    assert_eq!(fat.write_back(), Ok(Report::default()));
    guest(&fat, |root| {
        root.create_dir("logs").expect("a folder");
        root.create_file("logs/A long name.txt").expect("a file").write_all(b"new").expect("written");
        let mut file = root.create_file("READ ME, PLEASE.TXT").expect("the same file");
        file.truncate().expect("empty");
        file.write_all(b"hello, host").expect("written");
        root.remove("gone.txt").expect("removed");
    });
    assert_eq!(fat.write_back(), Ok(Report { written: 2, removed: 1, ..Report::default() }));
    assert_eq!(
        (folder.text("logs/A long name.txt"), folder.text("read me, please.txt")),
        ("new".into(), "hello, host".into())
    );
    assert!(!folder.0.join("gone.txt").exists() && fs::read_dir(&folder.0).expect("the folder").count() == 3);
}

#[test]
fn file_that_both_sides_have_changed_is_kept_in_both_forms() {
    let folder = Temporary::new("conflict");
    fs::write(folder.0.join("kept.txt"), "x").expect("a file");
    let (mut fat, _) = folder.attach();
    guest(&fat, |root| {
        root.open_file("read me, please.txt").expect("a file").write_all(b"guest").expect("written");
        root.remove("kept.txt").expect("removed");
        root.create_file("new.txt").expect("a file").write_all(b"guest").expect("written");
    });
    fs::write(folder.0.join("read me, please.txt"), "host!").expect("a file");
    fs::write(folder.0.join("kept.txt"), "host").expect("a file");
    fs::write(folder.0.join("new.txt"), "host").expect("a file");
    let report = fat.write_back().expect("all is kept");
    assert_eq!((report.written, report.removed, report.conflicts.len()), (0, 0, 2));
    for (name, text) in [
        ("read me, please.txt", "host!"),
        ("read me, please.txt.guest", "guest"),
        ("kept.txt", "host"),
        ("new.txt", "host"),
        ("new.txt.guest", "guest"),
    ] {
        assert_eq!(folder.text(name), text, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn folder_that_has_become_a_link_is_not_written_through_and_keeps_no_other_file_back() {
    let (folder, outside) = (Temporary::new("moved"), Temporary::new("moved-outside"));
    let (mut fat, _) = folder.attach();
    guest(&fat, |root| {
        root.open_file("EFI/BOOT/BOOTX64.EFI").expect("a file").write_all(b"guest").expect("written");
        root.open_file("read me, please.txt").expect("a file").write_all(b"guest").expect("written");
    });
    fs::rename(folder.0.join("EFI"), folder.0.join("away")).expect("renamed");
    std::os::unix::fs::symlink(outside.0.join("EFI"), folder.0.join("EFI")).expect("a link");
    let told = fat.write_back().expect_err("a file has no place").to_string();
    assert!(told.contains("BOOTX64.EFI: a folder above it is none any longer"), "{told}");
    assert_eq!(fs::read(outside.0.join("EFI/BOOT/BOOTX64.EFI")).expect("a file"), [7; 10_000]);
    assert_eq!(folder.text("read me, please.txt"), "guest");
    fat.kept = false;
}

#[test]
#[cfg(unix)]
fn files_keep_what_may_be_done_with_them_and_read_only_ones_their_contents() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Temporary::new("modes");
    let files = [("secret", 0o600), ("run.sh", 0o755), ("fixed", 0o444)];
    let mode = |name: &str| fs::metadata(folder.0.join(name)).expect("a file").permissions().mode() & 0o777;
    for (name, mode) in files {
        let path = folder.0.join(name);
        fs::write(&path, "host").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let (mut fat, _) = folder.attach();
    guest(&fat, |root| {
        for (name, _) in files {
            root.open_file(name).expect("a file").write_all(b"GUEST").expect("written");
        }
    });
    let report = fat.write_back().expect("all is kept");
    assert_eq!((report.written, report.conflicts), (2, vec![folder.0.join("fixed.guest")]));
    assert_eq!(["secret", "run.sh", "fixed"].map(mode), [0o600, 0o755, 0o444]);
    let texts = ["secret", "run.sh", "fixed", "fixed.guest"].map(|name| folder.text(name));
    assert_eq!(texts, ["GUEST", "GUEST", "host", "GUEST"]);
}

#[test]
fn file_of_terabytes_is_refused_before_it_is_read() {
    let folder = Temporary::new("long");
    let file = fs::File::create(folder.0.join("long")).expect("a file");
    if file.set_len(1 << 40).is_err() {
        return;
    }
    let mut machine = MachineConfig { fat: Some(folder.0.clone()), ..MachineConfig::default() };
    let error = FatFolder::attach(&mut machine).expect_err("it is too long").to_string();
    assert!(error.contains("it is longer than a file of a FAT file system"), "{error}");
}

#[test]
#[cfg(unix)]
fn links_are_neither_read_nor_written_through() {
    let (folder, outside) = (Temporary::new("links"), Temporary::new("outside"));
    std::os::unix::fs::symlink(outside.0.join("read me, please.txt"), folder.0.join("link")).expect("a link");
    std::os::unix::fs::symlink(&outside.0, folder.0.join("away")).expect("a link");
    let (mut fat, _) = folder.attach();
    guest(&fat, |root| {
        assert!(root.open_file("link").is_err() && root.open_dir("away").is_err());
        root.create_file("link").expect("a file").write_all(b"guest").expect("written");
    });
    assert_eq!(fat.write_back().map(|report| report.conflicts.len()), Ok(1));
    assert_eq!((outside.text("read me, please.txt"), folder.text("link.guest")), ("hello".into(), "guest".into()));
    // A folder in the place of a link to one: nothing is written where it leads.
    guest(&fat, |root| {
        root.create_dir("away").expect("a folder");
        root.create_file("away/x").expect("a file").write_all(b"guest").expect("written");
    });
    assert!(fat.write_back().is_err() && !outside.0.join("x").exists());
    fat.kept = false;
}

#[test]
fn disk_that_is_no_file_system_any_more_is_kept() {
    let folder = Temporary::new("damaged");
    for damage in 0..40u64 {
        let (mut fat, _) = folder.attach();
        let mut file = fs::OpenOptions::new().write(true).open(fat.image()).expect("the image");
        // The boot sector, the first sectors of the FATs and of the root folder with what a careless guest may write.
        let at = [0, 11, 13, 32 * 512, 32 * 512 + 8, 36, 44, 0x20_0000][damage as usize % 8];
        file.seek(SeekFrom::Start(image::PARTITION + at)).expect("a place");
        file.write_all(&[[0, 0xFF, 2, 3, 0x55][damage as usize / 8]; 24]).expect("written");
        drop(file);
        if fat.write_back().is_err() {
            assert!(fat.kept && fat.image().exists());
            fat.kept = false;
        }
        assert_eq!(folder.text("read me, please.txt"), "hello", "{damage}");
    }
}

#[test]
fn names_that_fat_does_not_have_are_refused() {
    let folder = Temporary::new("names");
    fs::write(folder.0.join("a:b"), "x").expect("a file");
    let mut machine = MachineConfig { fat: Some(folder.0.clone()), ..MachineConfig::default() };
    let error = FatFolder::attach(&mut machine).expect_err("a bad name").to_string();
    assert!(
        error.contains("a:b: its name has a character that FAT file systems do not have in names; rename it"),
        "{error}"
    );
}

#[test]
fn name_that_differs_in_case_alone_is_given_to_the_hosts_file_but_for_capitals() {
    let folder = Temporary::new("case");
    fs::write(folder.0.join("notes.txt"), "x").expect("a file");
    let (mut fat, _) = folder.attach();
    guest(&fat, |root| {
        // fatfs renames nothing to a name that it takes for the same.
        for (old, between, new) in
            [("read me, please.txt", "1", "Read Me, Please.txt"), ("notes.txt", "2", "NOTES.TXT")]
        {
            root.rename(old, root, between).expect("renamed");
            root.rename(between, root, new).expect("renamed");
        }
    });
    assert_eq!(fat.write_back(), Ok(Report { renamed: 1, ..Report::default() }));
    assert_eq!((folder.text("Read Me, Please.txt"), folder.text("notes.txt")), ("hello".into(), "x".into()));
    assert_eq!(fs::read_dir(&folder.0).expect("the folder").count(), 3);
}

#[test]
fn what_is_gone_before_the_end_is_told_with_what_to_do() {
    let folder = Temporary::new("gone");
    let (mut fat, _) = folder.attach();
    fs::remove_file(fat.image()).expect("removed");
    let told = fat.write_back().expect_err("no image").to_string();
    assert!(told.contains("something has removed the disk's file"), "{told}");
    let (mut fat, _) = folder.attach();
    let image = fat.image().to_owned();
    fs::remove_dir_all(&folder.0).expect("removed");
    let told = fat.write_back().expect_err("no folder").to_string();
    assert!(
        told.contains("the folder is not there any longer") && told.contains(&image.display().to_string()),
        "{told}"
    );
    drop(fat);
    fs::remove_file(image).expect("it was kept");
}

#[test]
fn folder_that_the_disk_cannot_have_is_refused_by_name() {
    let folder = Temporary::new("refused");
    let refused = |folder: &Temporary| {
        let mut machine = MachineConfig { fat: Some(folder.0.clone()), ..MachineConfig::default() };
        FatFolder::attach(&mut machine).expect_err("it is refused").to_string()
    };
    fs::write(folder.0.join("\u{1F600}.txt"), "x").expect("a file");
    assert!(refused(&folder).contains("\u{1F600}.txt: its name has a character beyond U+FFFF"));
    fs::remove_file(folder.0.join("\u{1F600}.txt")).expect("removed");
    (0..=tree::MAX_IN_FOLDER).for_each(|n| fs::write(folder.0.join(n.to_string()), "x").expect("a file"));
    assert!(refused(&folder).contains("1003 files; 1000 is the most in one folder"), "{}", refused(&folder));
}
