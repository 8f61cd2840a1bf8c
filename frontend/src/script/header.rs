//! The machine that a script asks for, so that a script alone is a whole test.

use super::Script;
use crate::cli::RunArgs;
use crate::config::MachineConfig;
use crate::config::sources::Host;
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
            ..standard
        };
        let place = self.file.display().to_string();
        machine.check(&place)?;
        if let Some(name) = &self.cpu_model {
            models::find(&place, name)?;
        }
        for (field, given) in [("initrd", self.initrd.is_some()), ("append", self.append.is_some())] {
            if given && self.kernel.is_none() {
                return Err(InputError::file(&self.file, "there is no kernel that it is for")
                    .field(field)
                    .remedy("give kernel, too"));
            }
        }
        Ok(())
    }

    /// Finds the files of the script's machine from the script's folder.
    pub(super) fn find_machine(&mut self, host: &dyn Host) -> Result<(), InputError> {
        let (folder, script) = (self.folder().to_owned(), self.file.clone());
        let fields: [(&str, &mut Option<PathBuf>); 8] = [
            ("config", &mut self.config),
            ("image", &mut self.image),
            ("hda", &mut self.hda),
            ("hdb", &mut self.hdb),
            ("fda", &mut self.fda),
            ("cdrom", &mut self.cdrom),
            ("kernel", &mut self.kernel),
            ("initrd", &mut self.initrd),
        ];
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

    /// The files of the script's machine.
    pub fn machine_files(&self) -> impl Iterator<Item = &PathBuf> {
        let drives = [&self.image, &self.hda, &self.hdb, &self.fda, &self.cdrom];
        drives.into_iter().chain([&self.config, &self.kernel, &self.initrd]).flatten()
    }

    /// What the command line and this script ask for together. An option of the command line comes before the script's
    /// field; if the command line names anything to boot, the script's configuration, media and kernel do not count.
    pub fn over(&self, args: &RunArgs) -> RunArgs {
        let mut all = args.clone();
        all.cpus = args.cpus.or(self.cpus);
        all.memory = args.memory.or(self.memory);
        all.cpu_model = args.cpu_model.clone().or_else(|| self.cpu_model.clone());
        all.ips = args.ips.or(self.ips);
        all.debug_exit = args.debug_exit.or(self.debug_exit);
        all.test_devices |= self.test_devices;
        let drives =
            [&args.image, &args.hda, &args.hdb, &args.hdc, &args.hdd, &args.fda, &args.fdb, &args.cdrom, &args.fat];
        if drives.into_iter().chain([&args.kernel, &args.config]).any(Option::is_some) {
            return all;
        }
        all.config.clone_from(&self.config);
        all.image.clone_from(&self.image);
        all.hda.clone_from(&self.hda);
        all.hdb.clone_from(&self.hdb);
        all.fda.clone_from(&self.fda);
        all.cdrom.clone_from(&self.cdrom);
        all.kernel.clone_from(&self.kernel);
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
}
