//! A model hub on loopback: as much of its protocol as a blocking client speaks, with faults on demand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::sha256;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server holds and how it misbehaves.
#[derive(Default)]
pub(super) struct State {
    /// `org/name/file` → content. A file above 1,000 bytes lies in the large storage, as on the hub.
    pub(super) files: HashMap<String, Vec<u8>>,
    /// Ends each transfer of a large file after so many bytes.
    pub(super) cut_after: Option<usize>,
    /// The hash that is announced instead of the right one.
    pub(super) announced: Option<String>,
    /// Answers each request with this status.
    pub(super) status: Option<&'static str>,
    /// The requests: path, Range, Authorization.
    pub(super) requests: Vec<[String; 3]>,
}

/// The running server; it ends with the process.
pub(super) struct Server {
    pub(super) endpoint: String,
    pub(super) state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), content.to_vec()));
        let state = Arc::new(Mutex::new(State {
            files: files.collect(),
            ..State::default()
        }));
        let shared = (endpoint.clone(), state.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (endpoint, state) = shared.clone();
                // A client that hangs up is part of the tests.
                thread::spawn(move || answer(stream, &endpoint, &state).ok());
            }
        });
        Self { endpoint, state }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// The requests for large files beyond the look at their size, as `path range`.
    pub(super) fn transfers(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let transfers = state
            .requests
            .iter()
            .filter(|[path, range, _]| path.starts_with("/large/") && range != "bytes=0-0");
        transfers
            .map(|[path, range, _]| format!("{path} {range}"))
            .collect()
    }

    pub(super) fn num_requests(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }
}

fn answer(stream: TcpStream, endpoint: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    while let Some(Ok(line)) = lines.next() {
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut state = state.lock().unwrap();
    state
        .requests
        .push([path.clone(), header("range"), header("authorization")]);
    let (head, body) = respond(&state, endpoint, &path, &header("range"));
    let sent = match state.cut_after {
        Some(cut) if path.starts_with("/large/") && header("range") != "bytes=0-0" => cut.min(body.len()),
        _ => body.len(),
    };
    drop(state);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body[..sent])?;
    stream.flush()
}

fn respond(state: &State, endpoint: &str, path: &str, range: &str) -> (String, Vec<u8>) {
    if let Some(status) = state.status {
        return (status.to_owned(), Vec::new());
    }
    if let Some(repo) = path
        .strip_prefix("/api/models/")
        .and_then(|rest| rest.strip_suffix("/revision/main"))
    {
        let names = state
            .files
            .keys()
            .filter_map(|name| name.strip_prefix(&format!("{repo}/")));
        let siblings: Vec<_> = names
            .map(|name| serde_json::json!({ "rfilename": name }))
            .collect();
        let info = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        return ("200 OK".to_owned(), info.to_string().into_bytes());
    }
    let name = path
        .trim_start_matches('/')
        .trim_start_matches("large/")
        .replace("/resolve/main/", "/");
    let Some(content) = state.files.get(&name) else {
        return ("404 Not Found".to_owned(), Vec::new());
    };
    if content.len() > 1000 && !path.starts_with("/large/") {
        let hash = state.announced.clone().unwrap_or_else(|| sha256(content));
        let head = format!(
            "302 Found\r\nlocation: {endpoint}/large/{name}\r\nx-repo-commit: {COMMIT}\r\nx-linked-etag: \"{hash}\"\
             \r\nx-linked-size: {}\r\netag: \"pointer\"",
            content.len()
        );
        return (head, Vec::new());
    }
    let (from, to) = range
        .trim_start_matches("bytes=")
        .split_once('-')
        .unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap_or(0);
    let to = to.parse().unwrap_or(content.len() - 1).min(content.len() - 1);
    if from > to {
        return ("416 Range Not Satisfiable".to_owned(), Vec::new());
    }
    let head = format!(
        "206 Partial Content\r\ncontent-range: bytes {from}-{to}/{}\r\nx-repo-commit: {COMMIT}\r\netag: \"{}\"",
        content.len(),
        &sha256(content)[..40]
    );
    (head, content[from..=to].to_vec())
}
