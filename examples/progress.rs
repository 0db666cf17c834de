//! The bar that shows a download, with rate and time left.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use forii_core::hub::Progress;

/// Shows downloads on standard error: a bar on a terminal, else a line for each tenth.
pub fn show_progress() -> impl FnMut(Progress) + Send + 'static {
    let mut bar = Bar::new(stderr().is_terminal());
    move |progress| {
        // A closed standard error is no reason to stop.
        write!(stderr().lock(), "{}", bar.text(progress, Instant::now())).ok();
    }
}

/// The state of one download's bar.
struct Bar {
    is_terminal: bool,
    name: String,
    /// The time and the bytes at the first report, which an earlier run may have left.
    start: Option<(Instant, u64)>,
    redrawn: Option<Instant>,
    tenths: u64,
}

impl Bar {
    fn new(is_terminal: bool) -> Self {
        Self {
            is_terminal,
            name: String::new(),
            start: None,
            redrawn: None,
            tenths: 0,
        }
    }

    /// What to write for a report.
    fn text(&mut self, progress: Progress, now: Instant) -> String {
        match progress {
            Progress::Waiting { name } => format!("waiting for another program that fetches {name}\n"),
            Progress::Started { name, total } => {
                *self = Self::new(self.is_terminal);
                let size = total.map_or(String::new(), |total| format!(" ({} MB)", megabytes(total)));
                let line = format!("fetching {name}{size}\n");
                self.name = name;
                line
            }
            Progress::Advanced { done, total } => self.advanced(done, total, now),
            Progress::Verifying => self.line("verifying"),
            Progress::Finished { path } => self.line(&format!("ready: {}", path.display())),
            _ => String::new(),
        }
    }

    fn advanced(&mut self, done: u64, total: Option<u64>, now: Instant) -> String {
        let (started, already) = match self.start {
            Some(start) if start.1 < done => start,
            // The clock starts with the first bytes, not while a program is still getting ready.
            _ => *self.start.insert((now, done)),
        };
        let elapsed = now.duration_since(started).as_secs_f64();
        let rate = match elapsed > 0.0 {
            true => (done - already.min(done)) as f64 / elapsed,
            false => 0.0,
        };
        let total = total.unwrap_or(0).max(done).max(1);
        let left = match rate > 0.0 {
            true => clock((total - done) as f64 / rate),
            false => "-:--".to_owned(),
        };
        let percent = done * 100 / total;
        let amount = format!(
            "{percent:>3} %  {} of {} MB  {:.1} MB/s  {left} left",
            megabytes(done),
            megabytes(total),
            rate / 1e6
        );
        if self.is_terminal {
            let is_due = self
                .redrawn
                .is_none_or(|redrawn| now.duration_since(redrawn) >= Duration::from_millis(100));
            if !is_due && done < total {
                return String::new();
            }
            self.redrawn = Some(now);
            let filled = (percent * 30 / 100) as usize;
            return format!(
                "\r\x1b[K[{}{}] {amount}",
                "=".repeat(filled),
                " ".repeat(30 - filled)
            );
        }
        if percent / 10 <= self.tenths {
            return String::new();
        }
        self.tenths = percent / 10;
        format!("{}: {amount}\n", self.name)
    }

    /// A line of its own, in the place of the bar on a terminal.
    fn line(&mut self, text: &str) -> String {
        match self.is_terminal && self.redrawn.take().is_some() {
            true => format!("\r\x1b[K{text}\n"),
            false => format!("{text}\n"),
        }
    }
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil().min(359_999.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advanced(done: u64) -> Progress {
        // The enum is open, its variants are not.
        Progress::Advanced {
            done,
            total: Some(100_000_000),
        }
    }

    #[test]
    fn a_bar_shows_rate_and_time_left() {
        let (mut bar, start) = (Bar::new(true), Instant::now());
        bar.text(advanced(10_000_000), start);
        let text = bar.text(advanced(60_000_000), start + Duration::from_secs(5));
        assert_eq!(
            text,
            format!(
                "\r\x1b[K[{}{}]  60 %  60 of 100 MB  10.0 MB/s  0:04 left",
                "=".repeat(18),
                " ".repeat(12)
            )
        );
        assert_eq!(
            bar.text(advanced(60_000_001), start + Duration::from_millis(5050)),
            "",
            "too soon to redraw"
        );
        assert_eq!(bar.text(Progress::Verifying, start), "\r\x1b[Kverifying\n");
    }

    #[test]
    fn without_a_terminal_each_tenth_is_a_line() {
        let (mut bar, start) = (Bar::new(false), Instant::now());
        let lines: Vec<String> = (0..=100)
            .map(|percent| {
                bar.text(
                    advanced(percent * 1_000_000),
                    start + Duration::from_secs(percent),
                )
            })
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(lines.len(), 10);
        assert!(
            lines
                .iter()
                .all(|line| line.ends_with(" left\n") && !line.contains('\r')),
            "{lines:?}"
        );
    }
}
