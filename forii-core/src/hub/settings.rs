//! Where downloads go and who fetches them, read from the environment once for each resolve.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::fetch_error;
use crate::error::LoadError;

/// The environment of one resolve.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// forii's own cache folder.
    pub(super) cache: PathBuf,
    /// Commands that may be the package client, the preferred one first.
    pub(super) clients: Vec<Vec<OsString>>,
    /// Whether `clients` is what the user asked for, not a guess.
    pub(super) client_is_given: bool,
    /// The hub's settings.
    #[cfg(feature = "hub")]
    pub(super) hub: HubSettings,
}

/// The model hub's own environment variables.
#[cfg(feature = "hub")]
#[derive(Clone)]
pub(super) struct HubSettings {
    /// `$HF_HOME/hub`.
    pub(super) cache: PathBuf,
    /// `HF_ENDPOINT`, where it differs from the public hub.
    pub(super) endpoint: Option<String>,
    /// `HF_TOKEN`; the token file of the cache where it is unset.
    pub(super) token: Option<String>,
    /// `HF_HUB_OFFLINE`: only what is in the cache.
    pub(super) is_offline: bool,
}

// Written out, so that the token stays out of logs.
#[cfg(feature = "hub")]
impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("has_token", &self.token.is_some())
            .field("is_offline", &self.is_offline)
            .finish()
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`LoadError::Fetch`] where neither a cache folder nor a home folder is known.
    pub(super) fn from_env(reference: &str) -> Result<Self, LoadError> {
        let user_cache = folder("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")));
        let no_home = || fetch_error(reference, "no home folder is known; set FORII_CACHE and HF_HOME");
        let cache = folder("FORII_CACHE")
            .or_else(|| Some(user_cache.as_ref()?.join("forii")))
            .ok_or_else(no_home)?;
        let given = env::var_os("FORII_PIP").filter(|pip| !pip.is_empty());
        Ok(Self {
            cache,
            client_is_given: given.is_some(),
            clients: given.map_or_else(default_clients, |pip| vec![vec![pip]]),
            #[cfg(feature = "hub")]
            hub: HubSettings {
                cache: folder("HF_HOME")
                    .or_else(|| Some(user_cache?.join("huggingface")))
                    .ok_or_else(no_home)?
                    .join("hub"),
                endpoint: text("HF_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
                token: text("HF_TOKEN"),
                is_offline: text("HF_HUB_OFFLINE").is_some_and(|value| {
                    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
                }),
            },
        })
    }
}

fn default_clients() -> Vec<Vec<OsString>> {
    [
        &["python3", "-m", "pip"][..],
        &["pip3"],
        &["pip"],
        &["python", "-m", "pip"],
    ]
    .iter()
    .map(|command| command.iter().map(OsString::from).collect())
    .collect()
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(feature = "hub")]
fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.trim().is_empty())
}
