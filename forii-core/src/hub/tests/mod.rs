//! References, the catalogue, the space check, and downloads from a fake package client and from a hub
//! on loopback.

#[cfg(unix)]
mod packages;
#[cfg(feature = "hub")]
mod remote;
#[cfg(feature = "hub")]
mod server;

use std::path::{Path, PathBuf};

use super::cache::{Slot, check_space, missing_space};
use super::settings::Settings;
use super::*;

/// Content that does not compress to nothing and differs at each offset.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(bytes))
}

fn settings(cache: &Path) -> Settings {
    Settings {
        cache: cache.join("forii"),
        clients: Vec::new(),
        client_is_given: false,
        #[cfg(feature = "hub")]
        hub: settings::HubSettings {
            cache: cache.join("hub"),
            // Nothing listens there: a test that reaches for the real hub fails.
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            token: None,
            is_offline: false,
        },
    }
}

/// The files below a folder, without locks.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

fn problem(error: &LoadError) -> &str {
    match error {
        LoadError::Fetch { problem, .. } => problem,
        LoadError::NotFound { reason, .. } => reason,
        other => panic!("not an error of a download: {other}"),
    }
}

#[test]
fn references_are_read() {
    let hub = |repo: &str, file: Option<&str>| ModelSource::Hub {
        repo: repo.to_owned(),
        file: file.map(str::to_owned),
    };
    let path = |path: &str| ModelSource::Path(PathBuf::from(path));
    let name = |name: &str| ModelSource::Name(name.to_owned());
    let cases = [
        ("smollm2-135m-instruct", name("smollm2-135m-instruct")),
        ("model.gguf", path("model.gguf")),
        (
            "model-00001-of-00002.safetensors",
            path("model-00001-of-00002.safetensors"),
        ),
        ("Qwen/Qwen3-0.6B", hub("Qwen/Qwen3-0.6B", None)),
        ("a/b:q4/c.gguf", hub("a/b", Some("q4/c.gguf"))),
        ("models/c.gguf", path("models/c.gguf")),
        ("./models", path("./models")),
        ("../a/b", path("../a/b")),
        ("/srv/model", path("/srv/model")),
        ("a/b/c", path("a/b/c")),
        ("a/b:", path("a/b:")),
        ("C:\\models\\c.gguf", path("C:\\models\\c.gguf")),
        ("", path("")),
    ];
    for (text, expected) in cases {
        assert_eq!(ModelSource::from(text), expected, "{text}");
        assert_eq!(text.parse::<ModelSource>(), Ok(expected.clone()));
        assert_eq!(expected.to_string(), text);
    }
    assert_eq!(ModelSource::default(), name(catalogue::DEFAULT));
}

#[test]
fn a_path_is_taken_as_it_is_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    let mut progress = |progress| reports.push(progress);
    let here = ModelSource::from(folder.path());
    assert_eq!(resolve(&here, &mut progress).unwrap(), folder.path());
    let absent = ModelSource::from(folder.path().join("absent.gguf"));
    let error = resolve(&absent, &mut progress).unwrap_err();
    assert!(
        error.to_string().contains("absent.gguf': there is no such file"),
        "{error}"
    );
    assert_eq!(reports, []);
}

#[test]
fn an_unknown_name_lists_the_known_ones_and_the_closest() {
    let resolve = |name: &str| resolve(&ModelSource::from(name), &mut |_| {}).unwrap_err();
    for typo in ["smolm2-135-instruct", "SmolLM2-135M-Instruct", "smollm2"] {
        let error = resolve(typo);
        assert!(
            problem(&error).contains("did you mean 'smollm2-135m-instruct'?"),
            "{error}"
        );
    }
    let error = resolve("xyz");
    assert!(!problem(&error).contains("did you mean"), "{error}");
    for entry in catalogue::catalogue() {
        assert!(problem(&error).contains(entry.name), "{error}");
    }
}

#[test]
fn the_catalogue_is_well_formed() {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    for (i, entry) in catalogue::catalogue().iter().enumerate() {
        assert!(is_hash(entry.sha256), "{}", entry.name);
        assert_eq!(
            ModelSource::from(entry.name),
            ModelSource::Name(entry.name.to_owned())
        );
        assert!(!entry.about.is_empty() && !entry.licence.is_empty() && entry.bytes > 0);
        assert!(
            catalogue::catalogue()[..i]
                .iter()
                .all(|other| other.name != entry.name)
        );
        if let Some(second) = entry.second {
            // A chain of seconds must end.
            assert!(catalogue::find(second).unwrap().second.is_none());
        }
    }
    assert!(catalogue::find(catalogue::DEFAULT).unwrap().verified);
}

#[test]
fn missing_space_is_refused_before_the_download() {
    let spare = 16 << 20;
    assert_eq!(missing_space(1000 + spare, 1000), None);
    assert_eq!(missing_space(999 + spare, 1000), Some(1));
    assert_eq!(missing_space(0, u64::MAX), Some(u64::MAX));
    let folder = tempfile::tempdir().unwrap();
    check_space("model", folder.path(), 0).unwrap();
    let error = check_space("model", folder.path(), u64::MAX / 2).unwrap_err();
    assert!(problem(&error).contains("more space"), "{error}");
    assert!(problem(&error).contains("FORII_CACHE"), "{error}");
}

#[test]
fn a_recorded_file_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let slot = Slot::open("model", folder.path(), "model.gguf").unwrap();
    let content = sample(1000);
    std::fs::write(slot.path(), &content).unwrap();
    let looks = |sha256: &str| {
        let mut reads = 0;
        let is_right = slot.is_verified(slot.path(), sha256, &mut |_| reads += 1);
        (is_right, reads)
    };
    let right = sha256(&content);
    assert_eq!(looks(&right), (true, 1), "read the first time");
    assert_eq!(looks(&right), (true, 0), "recorded");
    assert_eq!(looks(&sha256(b"other")), (false, 1), "another hash is expected");
    // A changed file has another time.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let file = std::fs::File::options().write(true).open(slot.path()).unwrap();
    file.set_modified(later).unwrap();
    assert_eq!(looks(&right), (true, 1), "read again");
    std::fs::write(slot.path(), b"broken").unwrap();
    assert_eq!(looks(&right), (false, 1));
}
