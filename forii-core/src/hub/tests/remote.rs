//! Downloads from a hub on loopback.

use std::fs;
use std::process::Command;

use super::server::Server;
use super::*;

/// Set in the children of the test with two processes.
const CHILD: &str = "FORII_TEST_HUB_CHILD";
const MODEL: &str = "org/name:model.gguf";

struct Client {
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Client {
    fn of(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        settings.hub.endpoint = Some(server.endpoint.clone());
        Self { folder, settings }
    }

    fn resolve(&self, reference: &str) -> (Result<PathBuf, LoadError>, Vec<Progress>) {
        let ModelSource::Hub { repo, file } = ModelSource::from(reference) else {
            panic!("{reference} is no reference of the hub");
        };
        let mut reports = Vec::new();
        let mut progress = |progress| reports.push(progress);
        let result = from_hub(&repo, file.as_deref(), &self.settings, &mut progress);
        (result, reports)
    }

    fn blobs(&self) -> Vec<String> {
        files(&self.settings.hub.cache.join("models--org--name/blobs"))
    }
}

fn one_file(len: usize) -> (Server, Client, Vec<u8>) {
    let content = sample(len);
    let server = Server::start(&[("org/name/model.gguf", &content)]);
    let client = Client::of(&server);
    (server, client, content)
}

#[test]
fn a_file_is_fetched_with_the_token_and_then_trusted() {
    let (server, mut client, content) = one_file(1_000_000);
    client.settings.hub.token = Some("secret".to_owned());
    assert!(!format!("{:?}", client.settings).contains("secret"));
    let (path, reports) = client.resolve(MODEL);
    let path = path.unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(
        path.starts_with(client.folder.path()) && path.ends_with("model.gguf"),
        "{}",
        path.display()
    );
    server.change(|state| {
        let [path, _, authorization] = &state.requests[0];
        assert_eq!(
            (path.as_str(), authorization.as_str()),
            ("/org/name/resolve/main/model.gguf", "Bearer secret")
        );
    });
    let total = Some(1_000_000);
    let name = MODEL.to_owned();
    assert_eq!(reports[0], Progress::Started { name, total });
    let done = |report: &Progress| match report {
        Progress::Advanced {
            done,
            total: Some(1_000_000),
        } => Some(*done),
        _ => None,
    };
    let done: Vec<u64> = reports.iter().filter_map(done).collect();
    assert!(
        done.len() >= 4 && done.is_sorted() && done.last() == Some(&1_000_000),
        "{done:?}"
    );
    assert_eq!(
        reports[reports.len() - 2..],
        [Progress::Verifying, Progress::Finished { path: path.clone() }]
    );

    let num_requests = server.num_requests();
    client.settings.hub.is_offline = true;
    let (again, reports) = client.resolve(MODEL);
    assert_eq!((again.unwrap(), reports), (path, vec![]));
    assert_eq!(server.num_requests(), num_requests);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let (server, client, content) = one_file(400_000);
    // Three further attempts, each of which moves on, are not enough for the fifth hundred thousand.
    server.change(|state| state.cut_after = Some(90_000));
    let error = client.resolve(MODEL).0.unwrap_err();
    assert!(matches!(error, LoadError::Fetch { .. }), "{error}");
    assert_eq!(client.blobs(), [format!("{}.part", sha256(&content))]);
    let ranges: Vec<String> = (0..4)
        .map(|i| format!("/large/org/name/model.gguf bytes={}-", i * 90_000))
        .collect();
    assert_eq!(server.transfers(), ranges);

    server.change(|state| state.cut_after = None);
    let (path, reports) = client.resolve(MODEL);
    assert_eq!(fs::read(path.unwrap()).unwrap(), content);
    assert_eq!(
        server.transfers()[4..],
        ["/large/org/name/model.gguf bytes=360000-"]
    );
    assert!(
        reports.contains(&Progress::Advanced {
            done: 400_000,
            total: Some(400_000)
        }),
        "{reports:?}"
    );
    assert_eq!(client.blobs(), [sha256(&content)]);
}

#[test]
fn a_part_as_long_as_the_whole_is_fetched_anew() {
    let (_server, client, content) = one_file(50_000);
    let blobs = client.settings.hub.cache.join("models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    for len in [50_000, 60_000] {
        fs::write(blobs.join(format!("{}.part", sha256(&content))), vec![0; len]).unwrap();
        let path = client.resolve(MODEL).0.unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
        // A link whose file is gone is no obstacle either.
        fs::remove_file(blobs.join(sha256(&content))).unwrap();
    }
}

#[test]
fn a_wrong_hash_names_both_and_leaves_nothing() {
    let (server, client, content) = one_file(50_000);
    let wrong = sha256(b"something else");
    server.change(|state| state.announced = Some(wrong.clone()));
    let error = client.resolve(MODEL).0.unwrap_err();
    assert!(
        problem(&error).contains(&wrong) && problem(&error).contains(&sha256(&content)),
        "{error}"
    );
    assert_eq!(client.blobs(), [""; 0]);
    server.change(|state| state.announced = None);
    assert_eq!(fs::read(client.resolve(MODEL).0.unwrap()).unwrap(), content);
}

#[test]
fn a_broken_blob_in_the_cache_is_replaced() {
    let (_server, client, content) = one_file(50_000);
    let path = client.resolve(MODEL).0.unwrap();
    fs::write(&path, b"broken").unwrap();
    assert_eq!(client.resolve(MODEL).0.unwrap(), path);
    assert_eq!(fs::read(path).unwrap(), content);
}

#[test]
fn a_catalogued_file_must_have_its_hash() {
    let (_server, client, content) = one_file(50_000);
    let right: &'static str = sha256(&content).leak();
    let entry = Entry {
        name: "some-model",
        origin: Origin::Hub {
            repo: "org/name",
            file: "model.gguf",
        },
        bytes: 50_000,
        sha256: right,
        second: None,
        ..*catalogue::find(catalogue::DEFAULT).unwrap()
    };
    let resolve = |entry: &Entry| from_catalogue(entry, &client.settings, &mut |_| {});
    let other = Entry {
        sha256: sha256(b"other").leak(),
        ..entry
    };
    let error = resolve(&other).unwrap_err();
    assert!(
        problem(&error).contains(right) && problem(&error).contains(other.sha256),
        "{error}"
    );
    let error = resolve(&Entry {
        bytes: 49_999,
        ..entry
    })
    .unwrap_err();
    assert!(problem(&error).contains("50000 bytes, expected 49999"), "{error}");
    assert_eq!(fs::read(resolve(&entry).unwrap()).unwrap(), content);
}

#[test]
fn what_the_hub_refuses_is_said_in_words() {
    let (server, mut client, _) = one_file(50_000);
    let error = client.resolve("org/name:absent.gguf").0.unwrap_err();
    assert!(matches!(&error, LoadError::NotFound { .. }), "{error}");
    let cases = [
        ("401 Unauthorized", "HF_TOKEN"),
        ("403 Forbidden", "HF_TOKEN"),
        ("503 Service Unavailable", "status 503"),
        ("302 Found", "etag"),
        (
            "302 Found\r\netag: \"abc\"\r\nx-repo-commit: abc",
            "makes no sense",
        ),
        ("200 OK", "etag"),
    ];
    for (status, expected) in cases {
        server.change(|state| state.status = Some(status));
        let error = client.resolve(MODEL).0.unwrap_err();
        assert!(problem(&error).contains(expected), "{status}: {error}");
    }
    client.settings.hub.is_offline = true;
    for reference in [MODEL, "org/name"] {
        let error = client.resolve(reference).0.unwrap_err();
        assert!(problem(&error).contains("HF_HUB_OFFLINE"), "{error}");
    }
    client.settings.hub.is_offline = false;
    client.settings.hub.endpoint = Some("http://127.0.0.1:1".to_owned());
    let error = client.resolve(MODEL).0.unwrap_err();
    assert!(problem(&error).contains("is this machine online?"), "{error}");
    for reference in ["org/name:../../model.gguf", "org/name:/etc/passwd"] {
        assert!(client.resolve(reference).0.is_err(), "{reference}");
    }
}

#[test]
fn an_answer_cannot_lead_out_of_the_cache() {
    let (server, client, _) = one_file(50_000);
    server.change(|state| state.announced = Some("../../../../escaped".to_owned()));
    let error = client.resolve(MODEL).0.unwrap_err();
    assert!(problem(&error).contains("plain word"), "{error}");
}

#[test]
fn a_repository_of_safetensors_becomes_a_folder() {
    let index = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}"#;
    let weights = [sample(3000), sample(4000)];
    let server = Server::start(&[
        ("org/name/config.json", b"{}"),
        ("org/name/tokenizer.json", b"{ }"),
        ("org/name/README.md", b"words"),
        ("org/name/model.safetensors.index.json", index),
        ("org/name/model-00001-of-00002.safetensors", &weights[0]),
        ("org/name/model-00002-of-00002.safetensors", &weights[1]),
        ("org/name/model.Q4_K_M.gguf", b"not this"),
    ]);
    let mut client = Client::of(&server);
    let folder = client.resolve("org/name").0.unwrap();
    assert_eq!(
        files(&folder),
        [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json"
        ]
    );
    assert_eq!(
        fs::read(folder.join("model-00002-of-00002.safetensors")).unwrap(),
        weights[1]
    );
    let num_requests = server.num_requests();
    assert_eq!(client.resolve("org/name").0.unwrap(), folder);
    assert_eq!(
        server.num_requests(),
        num_requests,
        "the second start asks nobody"
    );
    // Without forii's own notes the shared cache is enough.
    fs::remove_dir_all(&client.settings.cache).unwrap();
    client.settings.hub.is_offline = true;
    assert_eq!(client.resolve("org/name").0.unwrap(), folder);
}

#[test]
fn a_repository_of_gguf_files_gives_its_q4_k_m_or_asks() {
    let content = sample(2000);
    let server = Server::start(&[
        ("org/name/model-Q8_0.gguf", &content),
        ("org/name/mmproj-F16.gguf", &content),
        ("org/name/model-Q2_K-00001-of-00002.gguf", &content),
        ("org/name/model-Q2_K-00002-of-00002.gguf", &content),
    ]);
    let client = Client::of(&server);
    let error = client.resolve("org/name").0.unwrap_err();
    for expected in [
        "org/name:FILE",
        "model-Q8_0.gguf",
        "model-Q2_K-00001-of-00002.gguf",
    ] {
        assert!(problem(&error).contains(expected), "{error}");
    }
    for absent in ["mmproj", "00002-of"] {
        assert!(!problem(&error).contains(absent), "{error}");
    }
    let split = client
        .resolve("org/name:model-Q2_K-00001-of-00002.gguf")
        .0
        .unwrap();
    assert!(split.ends_with("model-Q2_K-00001-of-00002.gguf"));
    assert!(split.with_file_name("model-Q2_K-00002-of-00002.gguf").exists());

    server.change(|state| {
        let best = "org/name/model-q4_k_m.gguf".to_owned();
        state.files.insert(best, sample(2500));
    });
    let best = client.resolve("org/name").0.unwrap();
    assert_eq!(fs::read(best).unwrap(), sample(2500));
    server.change(|state| state.files.clear());
    let error = Client::of(&server).resolve("org/name").0.unwrap_err();
    assert!(matches!(error, LoadError::NotFound { .. }), "{error}");
}

#[test]
fn two_processes_fetch_once() {
    let (server, client, content) = one_file(2_000_000);
    let spawn = || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "hub::tests::remote::child_of_two_processes",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("FORII_CACHE", &client.settings.cache)
            .env("HF_HOME", client.folder.path())
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HUB_OFFLINE", "0")
            .spawn()
            .unwrap()
    };
    for mut child in [spawn(), spawn(), spawn()] {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.transfers().len(), 1, "{:?}", server.transfers());
    assert_eq!(client.blobs(), [sha256(&content)]);
}

/// What each process of the test above runs; nothing outside of it.
#[test]
fn child_of_two_processes() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let path = resolve(&ModelSource::from(MODEL), &mut |_| {}).unwrap();
    assert_eq!(fs::read(path).unwrap(), sample(2_000_000));
}
