//! Models of the model hub, through hf-hub's blocking client and in the cache folder that all programs
//! of the hub share. What the client leaves open is closed here: the hash, two processes at once, parts
//! that cannot be resumed, and answers that name no plain file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, CacheRepo, Repo};

use super::cache::{self, Slot, check_space, write_error};
use super::files::{self, BESIDE_WEIGHTS, CONFIG, INDEX, split_pieces};
use super::meter::{Meter, Reports};
use super::settings::Settings;
use super::{Progress, fetch_error, not_found};
use crate::error::LoadError;

/// Further attempts at a transfer that broke off after it had moved on.
const RETRIES: usize = 3;

/// What is known of a file beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) sha256: &'a str,
    pub(super) bytes: u64,
}

/// One repository of the hub.
#[derive(Debug)]
pub(super) struct Repository<'a> {
    id: &'a str,
    settings: &'a Settings,
    api: Api,
    remote: ApiRepo,
    local: CacheRepo,
}

impl<'a> Repository<'a> {
    /// Opens a repository; nothing is asked of the hub yet.
    pub(super) fn open(id: &'a str, settings: &'a Settings) -> Result<Self, LoadError> {
        let cache = Cache::new(settings.hub.cache.clone());
        let local = cache.repo(Repo::model(id.to_owned()));
        let mut builder = ApiBuilder::from_cache(cache).with_progress(false);
        if let Some(endpoint) = &settings.hub.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if let Some(token) = &settings.hub.token {
            builder = builder.with_token(Some(token.clone()));
        }
        let api = builder.build().map_err(|e| fetch_error(id, e.to_string()))?;
        Ok(Self {
            id,
            settings,
            remote: api.model(id.to_owned()),
            api,
            local,
        })
    }

    /// One GGUF file; where it is split, all its pieces, and the path of the first.
    pub(super) fn resolve_file(
        &self,
        file: &str,
        known: Option<Known<'_>>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, LoadError> {
        let mut reports = Reports::new(progress);
        let pieces = split_pieces(file);
        let known = known.filter(|_| pieces.len() == 1);
        let mut first = None;
        for piece in &pieces {
            let path = self.file(piece, known, &mut reports)?;
            first.get_or_insert(path);
        }
        let first = first.ok_or_else(|| not_found(self.reference(file), "it is split into no pieces"))?;
        reports.finished(&first);
        Ok(first)
    }

    /// The model that the repository holds: its safetensors with all that belongs to them, or a GGUF
    /// file. What was found the first time holds until the cache is emptied, so that a later start
    /// asks nobody.
    pub(super) fn resolve_any(&self, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, LoadError> {
        let note = self.slot("files.json")?;
        let noted = fs::read(note.path())
            .ok()
            .and_then(|json| serde_json::from_slice::<Vec<String>>(&json).ok());
        let files = match noted {
            Some(files) => files,
            None if self.settings.hub.is_offline => match self.cached_files() {
                files if files.is_empty() => return Err(self.offline(self.id)),
                files => files::select(self.id, &files)?,
            },
            None => {
                let info = guarded(|| self.remote.info()).map_err(|e| self.explain(None, e))?;
                let names: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
                files::select(self.id, &names)?
            }
        };
        let mut reports = Reports::new(progress);
        let model = self.files(&files, &mut reports)?;
        let json = serde_json::to_vec(&files).unwrap_or_default();
        cache::write_whole(note.path(), &json).map_err(|e| write_error(self.id, note.path(), &e))?;
        reports.finished(&model);
        Ok(model)
    }

    /// Fetches what is missing of `files`; the model is the folder, or the first of GGUF files.
    fn files(&self, files: &[String], reports: &mut Reports<'_>) -> Result<PathBuf, LoadError> {
        let (mut first, mut all) = (None, files.to_vec());
        for file in files {
            let path = self.file(file, None, reports)?;
            if file == INDEX {
                all.extend(files::shards(&path)?);
            }
            first.get_or_insert(path);
        }
        for shard in &all[files.len()..] {
            self.file(shard, None, reports)?;
        }
        // A repository that changed meanwhile lies in two snapshots, neither of them whole.
        let is_whole = all.iter().all(|file| self.local.get(file).is_some());
        let model = first
            .filter(|_| is_whole)
            .ok_or_else(|| fetch_error(self.id, "the repository changed while it was fetched; try again"))?;
        Ok(match files.iter().any(|file| file == CONFIG) {
            true => model.parent().map(Path::to_owned).unwrap_or(model),
            false => model,
        })
    }

    /// The files of the cached snapshot.
    fn cached_files(&self) -> Vec<String> {
        let path = BESIDE_WEIGHTS
            .into_iter()
            .find_map(|file| self.local.get(file))
            .and_then(|file| Some(file.parent()?.to_owned()))
            .or_else(|| {
                let revision = fs::read_to_string(self.repository_folder().join("refs/main")).ok()?;
                Some(self.local.pointer_path(revision.trim()))
            });
        let entries = path.and_then(|path| fs::read_dir(path).ok());
        let files = entries.into_iter().flatten().flatten();
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .collect()
    }

    fn repository_folder(&self) -> PathBuf {
        let folder = Repo::model(self.id.to_owned()).folder_name();
        self.settings.hub.cache.join(folder)
    }

    /// One file of the repository: from the cache where it is there and right, else from the hub.
    fn file(
        &self,
        file: &str,
        known: Option<Known<'_>>,
        reports: &mut Reports<'_>,
    ) -> Result<PathBuf, LoadError> {
        let is_plain = Path::new(file)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || file.is_empty() {
            return Err(not_found(
                self.reference(file),
                "the name is no path inside a repository",
            ));
        }
        let slot = self.slot(file)?;
        if let Some(path) = self.cached(file, known, &slot, reports) {
            return Ok(path);
        }
        if self.settings.hub.is_offline {
            return Err(self.offline(&self.reference(file)));
        }
        let _lock = slot.lock(&mut *reports.progress)?;
        if let Some(path) = self.cached(file, known, &slot, reports) {
            return Ok(path);
        }
        self.download(file, known, &slot, reports)
    }

    fn offline(&self, reference: &str) -> LoadError {
        let cache = self.settings.hub.cache.display();
        fetch_error(
            reference,
            format!("HF_HUB_OFFLINE is set, and it is not in {cache}"),
        )
    }

    fn slot(&self, file: &str) -> Result<Slot, LoadError> {
        let name = format!("{}/{file}", self.id).replace('/', "--");
        Slot::open(&self.reference(file), &self.settings.cache.join("hub"), &name)
    }

    fn reference(&self, file: &str) -> String {
        format!("{}:{file}", self.id)
    }

    /// The cached file, if its hash is right where one is known; a wrong one is removed.
    fn cached(
        &self,
        file: &str,
        known: Option<Known<'_>>,
        slot: &Slot,
        reports: &mut Reports<'_>,
    ) -> Option<PathBuf> {
        let pointer = self.local.get(file)?;
        let expected = known
            .map(|known| known.sha256.to_owned())
            .or_else(|| blob_hash(&pointer));
        match expected {
            Some(sha256) if !slot.is_verified(&pointer, &sha256, &mut *reports.progress) => {
                remove(&pointer);
                None
            }
            _ => Some(pointer),
        }
    }

    fn download(
        &self,
        file: &str,
        known: Option<Known<'_>>,
        slot: &Slot,
        reports: &mut Reports<'_>,
    ) -> Result<PathBuf, LoadError> {
        let metadata =
            guarded(|| self.api.metadata(&self.remote.url(file))).map_err(|e| self.explain(Some(file), e))?;
        let (part, pointer) = self.places(file, &metadata)?;
        let size = metadata.size() as u64;
        let expected = known
            .map(|known| known.sha256)
            .or(is_sha256(metadata.etag()).then(|| metadata.etag()));
        if let Some(known) = known
            && known.bytes != size
        {
            let problem = format!("the hub has a file of {size} bytes, expected {}", known.bytes);
            return Err(fetch_error(&self.reference(file), problem));
        }
        // A part as long as the whole was never completed, and the client cannot go on behind it.
        let done = fs::metadata(&part).map_or(0, |part| part.len());
        let done = match done < size {
            true => done,
            false => {
                fs::remove_file(&part).ok();
                0
            }
        };
        // The client does not replace a link whose file is gone.
        if pointer.is_symlink() && !pointer.exists() {
            fs::remove_file(&pointer).ok();
        }
        fs::create_dir_all(&self.settings.hub.cache)
            .map_err(|e| write_error(&self.reference(file), &self.settings.hub.cache, &e))?;
        check_space(&self.reference(file), &self.settings.hub.cache, size - done)?;

        let path = self.transfer(file, &part, reports)?;
        let found_size = fs::metadata(&path).map_or(0, |found| found.len());
        if found_size != size {
            remove(&path);
            let problem = format!("{found_size} bytes arrived, expected {size}; they were removed");
            return Err(fetch_error(&self.reference(file), problem));
        }
        if let Some(expected) = expected {
            (reports.progress)(Progress::Verifying);
            let found = cache::sha256_of(&path).map_err(|source| LoadError::Io {
                path: path.clone(),
                source,
            })?;
            if found != expected {
                remove(&path);
                return Err(cache::wrong_hash(&self.reference(file), expected, &found));
            }
            slot.record(&path, expected);
        }
        Ok(path)
    }

    /// Where the client keeps the unfinished part, and the link to the whole. What the hub answers
    /// becomes part of these paths, so it must be plain words.
    fn places(&self, file: &str, metadata: &Metadata) -> Result<(PathBuf, PathBuf), LoadError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if !is_word(metadata.etag()) || !is_word(metadata.commit_hash()) {
            let problem = "the hub's answer carries an etag or a commit that is no plain word";
            return Err(fetch_error(&self.reference(file), problem));
        }
        let blob = self.local.blob_path(metadata.etag());
        let pointer = self.local.pointer_path(metadata.commit_hash()).join(file);
        Ok((blob.with_extension("part"), pointer))
    }

    /// Moves the bytes, again while a broken transfer makes headway.
    fn transfer(&self, file: &str, part: &Path, reports: &mut Reports<'_>) -> Result<PathBuf, LoadError> {
        let part_len = || fs::metadata(part).map_or(0, |part| part.len());
        let mut attempt = 0;
        loop {
            let before = part_len();
            reports.begin(&self.reference(file));
            let result = guarded(|| self.remote.download_with_progress(file, Meter(&mut *reports)));
            match result {
                Ok(path) => return Ok(path),
                Err(_) if attempt < RETRIES && part_len() > before => attempt += 1,
                Err(error) => return Err(self.explain(Some(file), error)),
            }
        }
    }

    /// An error of the client in the words of whoever must act.
    fn explain(&self, file: Option<&str>, error: Failure) -> LoadError {
        let reference = file.map_or_else(|| self.id.to_owned(), |file| self.reference(file));
        let error = match error {
            Failure::Api(error) => error,
            Failure::Panicked => return fetch_error(&reference, "the hub's answer makes no sense"),
        };
        let ApiError::RequestError(request) = &error else {
            return fetch_error(&reference, error.to_string());
        };
        match **request {
            ureq::Error::StatusCode(404) => not_found(reference, "the hub knows no such repository or file"),
            ureq::Error::StatusCode(status @ (401 | 403)) => fetch_error(
                &reference,
                format!(
                    "the hub refuses it (status {status}): the repository does not exist, or needs a token \
                     (HF_TOKEN) whose owner has accepted its terms"
                ),
            ),
            ureq::Error::StatusCode(status) => fetch_error(
                &reference,
                format!("the hub answers with status {status}; try again later"),
            ),
            ref other => fetch_error(
                &reference,
                format!("the hub cannot be reached: {other}; is this machine online?"),
            ),
        }
    }
}

/// The hash in the name of a cached file, where the hub stores it under one.
fn blob_hash(pointer: &Path) -> Option<String> {
    let blob = fs::canonicalize(pointer).ok()?;
    let name = blob.file_name()?.to_str()?;
    is_sha256(name).then(|| name.to_owned())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Removes a cached file, what its link points to first.
fn remove(pointer: &Path) {
    if let Ok(blob) = fs::canonicalize(pointer) {
        fs::remove_file(blob).ok();
    }
    fs::remove_file(pointer).ok();
}

/// How a call of the client failed.
enum Failure {
    Api(ApiError),
    Panicked,
}

/// The client asserts some of what a hub should answer; a hub that breaks it is an error here.
fn guarded<T>(call: impl FnOnce() -> Result<T, ApiError>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::Api),
        Err(_) => Err(Failure::Panicked),
    }
}
