//! Programs that are Go modules, of pinned versions, each built once into a cache beside our own build.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Whose turn it is to build.
static BUILDING: Mutex<()> = Mutex::new(());

/// A program.
pub(crate) struct Module {
    pub(crate) name: &'static str,
    pub(crate) module: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl Module {
    /// Where the program is; or what kept it from being built.
    pub(crate) fn program(&self) -> Result<PathBuf, String> {
        let Self {
            name,
            module,
            package,
            version,
        } = self;
        let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{version}"));
        let program = directory.join(name);
        if program.is_file() {
            return Ok(program);
        }
        fs::create_dir_all(&directory).expect("a directory");
        let text = format!("module {name}-of-ours\n\ngo 1.24\n\nrequire {module} {version}\n");
        fs::write(directory.join("go.mod"), text).expect("written");
        let built = directory.join("built");
        let output = Command::new("go")
            .args(["build", "-mod=mod", "-o"])
            .args([built.as_os_str(), package.as_ref()])
            .env("CGO_ENABLED", "0")
            .current_dir(&directory)
            .output()
            .map_err(|error| format!("go does not run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("go build fails: {}", said.lines().last().unwrap_or_default()));
        }
        fs::rename(built, &program).expect("renamed");
        Ok(program)
    }
}
