//! The machine that a script asks for, so that a script alone is a whole test.

use super::Script;
use crate::cli::{self, RunArgs};
use crate::config::sources::Host;
use crate::config::{MachineConfig, Uefi};
use crate::error::InputError;
use crate::models;
use std::path::PathBuf;

impl Script {
    /// Checks what the script says of its machine, as far as no file is needed for it.
    pub(super) fn check_header(&self) -> Result<(), InputError> {
        let standard = MachineConfig::default();
        let machine = MachineConfig {
            cpus: self.cpus.unwrap_or(standard.cpus),
            memory: self.memory.unwrap_or(standard.memory),
            ips: self.ips.unwrap_or(standard.ips),
            debug_exit: self.debug_exit,
            ..standard
        };
        let place = self.file.display().to_string();
        machine.check(&place)?;
        if let Some(name) = &self.cpu_model {
            models::find(&place, name)?;
        }
        cli::check_together(&self.over(&RunArgs::default())).map_err(|error| error.of_field(&self.file))
    }

    /// Finds the files of the script's machine from the script's folder.
    pub(super) fn find_machine(&mut self, host: &dyn Host) -> Result<(), InputError> {
        let (folder, script) = (self.folder().to_owned(), self.file.clone());
        let (code, vars) = match &mut self.uefi {
            Some(Uefi { code, vars }) => (Some(code), Some(vars)),
            None => (None, None),
        };
        // Made if it is not there.
        if let Some(Some(vars)) = vars {
            *vars = folder.join(&*vars);
        }
        let mut fields = vec![
            ("config", &mut self.config),
            ("image", &mut self.image),
            ("hda", &mut self.hda),
            ("hdb", &mut self.hdb),
            ("hdc", &mut self.hdc),
            ("hdd", &mut self.hdd),
            ("fda", &mut self.fda),
            ("fdb", &mut self.fdb),
            ("cdrom", &mut self.cdrom),
            ("fat", &mut self.fat),
            ("kernel", &mut self.kernel),
            ("initrd", &mut self.initrd),
        ];
        fields.extend(code.map(|code| ("uefi", code)));
        for (field, path) in fields {
            let Some(path) = path else { continue };
            let found = folder.join(&*path);
            if path.as_os_str().is_empty() || host.size(&found).is_none() {
                return Err(InputError::file(&script, format!("there is no file {:?}", found.display().to_string()))
                    .field(field)
                    .remedy("give its path from the script's folder"));
            }
            *path = found;
        }
        Ok(())
    }

    /// Checks the script's machine as the command line's is. There may be nothing to boot in it.
    pub(super) fn check_machine(&self, host: &dyn Host) -> Result<(), InputError> {
        let mut args = self.over(&RunArgs::default());
        if self.machine_files().next().is_none() {
            // Of a medium that the command line is to name.
            args.boot.clear();
        }
        cli::without_medium(host, &args).map(drop).map_err(|error| error.of_field(&self.file))
    }

    /// The files of the script's machine.
    pub fn machine_files(&self) -> impl Iterator<Item = &PathBuf> {
        let drives = [&self.image, &self.hda, &self.hdb, &self.hdc, &self.hdd, &self.fda, &self.fdb, &self.cdrom];
        let uefi = self.uefi.iter().flat_map(|Uefi { code, vars }| [code, vars]);
        drives.into_iter().chain([&self.fat, &self.config, &self.kernel, &self.initrd]).chain(uefi).flatten()
    }

    /// What the command line and this script ask for together. An option of the command line comes before the script's
    /// field; if the command line names anything to boot, the script's configuration, media and kernel do not count.
    pub fn over(&self, args: &RunArgs) -> RunArgs {
        let mut all = args.clone();
        all.cpus = args.cpus.or(self.cpus);
        all.memory = args.memory.or(self.memory);
        all.cpu_model = args.cpu_model.clone().or_else(|| self.cpu_model.clone());
        all.ips = args.ips.or(self.ips);
        all.clock = args.clock.or(self.clock);
        all.debug_exit = args.debug_exit.or(self.debug_exit);
        all.test_devices |= self.test_devices;
        let other_firmware = [&args.rom, &args.vga_rom, &args.kernel, &args.config].into_iter().any(Option::is_some);
        if let Some(Uefi { code, vars }) = self.uefi.as_ref().filter(|_| args.uefi.is_none() && !other_firmware) {
            all.uefi = Some(code.clone());
            all.uefi_vars = args.uefi_vars.clone().or_else(|| vars.clone());
        }
        let drives =
            [&args.image, &args.hda, &args.hdb, &args.hdc, &args.hdd, &args.fda, &args.fdb, &args.cdrom, &args.fat];
        if drives.into_iter().chain([&args.kernel, &args.config]).any(Option::is_some) {
            return all;
        }
        for (slot, own) in [
            (&mut all.config, &self.config),
            (&mut all.image, &self.image),
            (&mut all.hda, &self.hda),
            (&mut all.hdb, &self.hdb),
            (&mut all.hdc, &self.hdc),
            (&mut all.hdd, &self.hdd),
            (&mut all.fda, &self.fda),
            (&mut all.fdb, &self.fdb),
            (&mut all.cdrom, &self.cdrom),
            (&mut all.fat, &self.fat),
            (&mut all.kernel, &self.kernel),
        ] {
            slot.clone_from(own);
        }
        all.initrd = args.initrd.clone().or_else(|| self.initrd.clone());
        all.append = args.append.clone().or_else(|| self.append.clone());
        if all.boot.is_empty() {
            all.boot.clone_from(&self.boot);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::parse;
    use std::path::Path;

    #[test]
    fn command_line_comes_before_the_script() {
        let text = "Script(image: \"c.img\", fda: \"a.img\", cpus: 4, memory: 64, cpu_model: \"max\", boot: [floppy], \
                    ips: 2000000, debug_exit: 0xf4, steps: [])";
        let script = parse(Path::new("s.ron"), text).unwrap();
        let all = script.over(&RunArgs { memory: Some(128), ..RunArgs::default() });
        assert_eq!((all.cpus, all.memory, all.cpu_model.as_deref()), (Some(4), Some(128), Some("max")));
        assert_eq!((all.image.as_deref(), all.fda.as_deref()), (Some(Path::new("c.img")), Some(Path::new("a.img"))));
        assert_eq!((all.ips, all.debug_exit, all.boot.len()), (Some(2_000_000), Some(0xf4), 1));
        let all = script.over(&RunArgs { image: Some("d.img".into()), cpus: Some(1), ..RunArgs::default() });
        assert_eq!((all.image.as_deref(), all.fda, all.cpus), (Some(Path::new("d.img")), None, Some(1)));
        assert!(all.boot.is_empty());
        let all = script.over(&RunArgs { fat: Some("folder".into()), ..RunArgs::default() });
        assert_eq!((all.image, all.cpus), (None, Some(4)));
    }
    /// Files of these sizes.
    struct Files(Vec<(&'static str, u64)>);

    impl Host for Files {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }

        fn size(&self, path: &Path) -> Option<u64> {
            self.0.iter().find(|(name, _)| path == Path::new(name)).map(|(_, size)| *size)
        }

        fn read_text(&self, _path: &Path) -> Result<String, String> {
            Err("not found".to_owned())
        }

        fn now(&self) -> i64 {
            0
        }
    }

    /// The script's machine, alone.
    fn machine(fields: &str) -> Result<MachineConfig, String> {
        let host = Files(
            ["c.img", "d.img", "e.img", "x.iso", "a.img", "b.img", "esp", "OVMF.fd", "bzImage"]
                .map(|name| (name, if name.len() == 5 { 1 << 20 } else { 4096 }))
                .into(),
        );
        let read = |text: &str| -> Result<MachineConfig, InputError> {
            let mut script = parse(Path::new("s.ron"), text)?;
            script.find_machine(&host)?;
            script.check_machine(&host)?;
            Ok(cli::settings(&host, &script.over(&RunArgs::default()))?.0.machine)
        };
        read(&format!("Script({fields}, steps: [])")).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_of_all_drives_and_of_firmware_are_those_of_the_options() {
        let all = machine(
            "hda: \"c.img\", hdb: \"d.img\", hdc: \"e.img\", hdd: \"c.img\", fda: \"a.img\", fdb: \"b.img\", \
             fat: \"esp\", uefi: (code: \"OVMF.fd\", vars: \"new\")",
        )
        .expect("it is right");
        let disks = all.ata().map(|drive| drive.and_then(|drive| drive.image()).and_then(Path::to_str));
        assert_eq!(disks, ["c.img", "d.img", "e.img", "c.img"].map(Some));
        assert!(all.floppies().into_iter().all(|floppy| floppy.is_some_and(|floppy| floppy.image.is_some())));
        let uefi = Uefi { code: Some("OVMF.fd".into()), vars: Some("new".into()) };
        assert_eq!((all.fat, all.uefi), (Some("esp".into()), Some(uefi)));
        assert_eq!(machine("uefi: ()").expect("it is right").uefi, Some(Uefi::default()));
    }

    #[test]
    fn mistakes_of_the_machine_are_told_by_the_scripts_fields() {
        for (fields, expected) in [
            ("hdc: \"c.img\", cdrom: \"x.iso\"", "s.ron: hdc: it and --cdrom exclude each other; give one of them, "),
            ("image: \"c.img\", hda: \"d.img\"", "s.ron: IMAGE and --hda name the same drive; give one of them"),
            ("image: \"c.img\", append: \"x\"", "s.ron: append: there is no kernel that it is for; give a kernel, too"),
            (
                "hda: \"c.img\", boot: [cdrom]",
                "s.ron: boot: there is no CD-ROM to boot from; give one with --cdrom FILE",
            ),
            ("uefi: (), kernel: \"bzImage\"", "s.ron: uefi: UEFI firmware takes the place of a BIOS"),
            (
                "uefi: (code: \"gone\")",
                "s.ron: uefi: there is no file \"gone\"; give its path from the script's folder",
            ),
            ("fdb: \"gone\"", "s.ron: fdb: there is no file \"gone\""),
            ("fat: \"\"", "s.ron: fat: there is no file \"\""),
        ] {
            let told = machine(fields).expect_err(fields);
            assert!(told.starts_with(expected), "{fields}: {told}");
        }
    }

    #[test]
    fn firmware_of_the_command_line_comes_before_the_scripts() {
        let text = "Script(uefi: (code: \"a.fd\", vars: \"v\"), fat: \"esp\", steps: [])";
        let script = parse(Path::new("s.ron"), text).expect("it is right");
        let all = script.over(&RunArgs::default());
        assert_eq!((all.uefi, all.uefi_vars), (Some(Some("a.fd".into())), Some("v".into())));
        let all = script.over(&RunArgs { uefi: Some(None), ..RunArgs::default() });
        assert_eq!((all.uefi, all.uefi_vars, all.fat), (Some(None), None, Some("esp".into())));
        for args in [
            RunArgs { rom: Some("bios".into()), ..RunArgs::default() },
            RunArgs { kernel: Some("bzImage".into()), ..RunArgs::default() },
            RunArgs { config: Some("bs".into()), ..RunArgs::default() },
        ] {
            assert_eq!(script.over(&args).uefi, None);
        }
    }
}
