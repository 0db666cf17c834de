//! From the hub client's reports to [`Progress`].

use std::path::Path;

use super::Progress;

/// Progress is reported each time so much has arrived.
const REPORT_BYTES: u64 = 256 << 10;

/// Thins the client's reports out, and ends them only where a download took place.
pub(super) struct Reports<'a> {
    pub(super) progress: &'a mut dyn FnMut(Progress),
    name: String,
    has_started: bool,
    total: u64,
    done: u64,
    reported: u64,
}

impl<'a> Reports<'a> {
    pub(super) fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            progress,
            name: String::new(),
            has_started: false,
            total: 0,
            done: 0,
            reported: 0,
        }
    }

    /// A transfer of this name follows.
    pub(super) fn begin(&mut self, name: &str) {
        if self.name != name {
            name.clone_into(&mut self.name);
            self.total = 0;
        }
    }

    pub(super) fn finished(&mut self, path: &Path) {
        if self.has_started {
            (self.progress)(Progress::Finished {
                path: path.to_owned(),
            });
        }
    }

    fn advance(&mut self) {
        self.reported = self.done;
        (self.progress)(Progress::Advanced {
            done: self.done,
            total: Some(self.total),
        });
    }
}

/// The client's view of the reports. It announces each attempt twice, and the bytes of an earlier run
/// as the first that arrive.
pub(super) struct Meter<'a, 'b>(pub(super) &'a mut Reports<'b>);

impl hf_hub::api::Progress for Meter<'_, '_> {
    fn init(&mut self, size: usize, _filename: &str) {
        let reports = &mut *self.0;
        (reports.done, reports.reported) = (0, 0);
        if reports.total == 0 {
            reports.total = size as u64;
            reports.has_started = true;
            (reports.progress)(Progress::Started {
                name: reports.name.clone(),
                total: Some(reports.total),
            });
        }
    }

    fn update(&mut self, size: usize) {
        let reports = &mut *self.0;
        reports.done += size as u64;
        if reports.done - reports.reported >= REPORT_BYTES {
            reports.advance();
        }
    }

    fn finish(&mut self) {
        self.0.advance();
    }
}
