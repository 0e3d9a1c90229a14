//! A probe of the pipeline, through a run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use modelwatch_config as config;
use modelwatch_sdk::{Error, Host, Needs, Probe, Report, report::Gap};
use serde_json::Value;

use crate::{plugin::Opener, services::ProbeHost};

/// A probe of the pipeline with its main instance, into which all partial states go.
pub(crate) struct Slot<'a> {
    pub(crate) settings: &'a config::Probe,
    pub(crate) needs: Arc<Needs>,
    /// Seconds in which it takes in rows and tensors, over all threads, and is evaluated.
    pub(crate) seconds: f64,
    shared: Shared<'a>,
    main: Box<dyn Probe>,
    failure: Option<String>,
}

/// What workers need of a slot, while its main instance takes in states.
#[derive(Clone)]
pub(super) struct Shared<'a> {
    pub(super) needs: Arc<Needs>,
    pub(super) opener: Opener<'a>,
    pub(super) config: Arc<Value>,
    pub(super) host: Arc<ProbeHost<'a>>,
}

impl Shared<'_> {
    /// Opens another instance.
    pub(super) fn open(&self) -> Result<Box<dyn Probe>, Error> {
        self.opener.open_another(&self.config, &self.needs)
    }
}

impl<'a> Slot<'a> {
    /// Opens the main instance.
    pub(crate) fn open(settings: &'a config::Probe, opener: Opener<'a>, host: ProbeHost<'a>) -> Result<Self, Error> {
        let config = Value::Object(settings.component.with.clone());
        let main = opener.open_probe(&config)?;
        let needs = Arc::new(main.needs());
        let shared = Shared { needs: Arc::clone(&needs), opener, config: Arc::new(config), host: Arc::new(host) };
        Ok(Self { settings, needs, seconds: 0.0, shared, main, failure: None })
    }

    /// Counts the time for which the probe was at work in an earlier run. Nothing of this one has been shown to it.
    pub(crate) fn count(&mut self, used: Duration) {
        let Some(host) = Arc::get_mut(&mut self.shared.host) else {
            return self.fail_with("its earlier time cannot be counted, since it is at work already".to_owned());
        };
        if let Some((deadline, _)) = &mut host.deadline {
            *deadline = deadline.checked_sub(used).unwrap_or_else(Instant::now);
            self.shared.opener.set_deadline(*deadline);
        }
    }

    /// Opens the main instance again: it has seen nothing.
    pub(crate) fn reopen(&mut self) -> Result<(), Error> {
        self.main = self.shared.open()?;
        Ok(())
    }

    /// Returns why the probe has no say any more.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes the probe's say away. The first reason stays.
    pub(crate) fn fail(&mut self, error: &Error) {
        let help = if error.help.is_empty() { String::new() } else { format!("; {}", error.help) };
        self.fail_with(format!("{}{help}", error.message));
    }

    /// Takes the probe's say away. The first reason stays.
    pub(crate) fn fail_with(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    /// Returns the state of the main instance.
    pub(crate) fn state(&mut self) -> Result<Vec<u8>, Error> {
        self.main.state()
    }

    /// Takes in the state of a partition, or of several.
    pub(crate) fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        if self.failure.is_some() { Ok(()) } else { self.main.merge(state) }
    }

    /// Calls the main instance, unless the probe has failed.
    pub(crate) fn call(&mut self, call: impl FnOnce(&mut dyn Probe, &dyn Host) -> Result<(), Error>) {
        if self.failure.is_some() {
            return;
        }
        let host = Arc::clone(&self.shared.host);
        let start = Instant::now();
        let res = host.check_deadline().and_then(|()| call(self.main.as_mut(), host.as_ref()));
        self.seconds += start.elapsed().as_secs_f64();
        if let Err(e) = res {
            self.fail(&e);
        }
    }

    /// Returns whether the probe has handed over a file, which no state tells of.
    pub(crate) fn has_files(&self) -> bool {
        self.shared.host.artifacts.has_any()
    }

    /// Returns which files the probe handed over and the report does not tell of, or the other way round, which ends.
    pub(crate) fn file_gaps(&self, report: &mut Report) -> Vec<Gap> {
        self.shared.host.artifacts.gaps(report)
    }

    /// Ends the main instance, and returns what it has to say, or why it has nothing to say.
    pub(crate) fn evaluate(&mut self) -> Result<Report, String> {
        let mut report = Report::default();
        self.call(|main, host| {
            report = main.evaluate(host)?;
            main.close()
        });
        if self.failure.is_none()
            && let Err(e) = self.shared.host.check_deadline()
        {
            self.fail(&e);
        }
        self.failure.clone().map_or(Ok(report), Err)
    }

    pub(super) fn shared(&self) -> Shared<'a> {
        self.shared.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use modelwatch_sdk::Kind;

    use super::*;
    use crate::{
        artifacts::Artifacts,
        models::Models,
        pace::Pace,
        plugin::{Catalog, Lookup},
    };

    #[test]
    fn a_probe_goes_on_with_its_time_and_can_begin_anew() {
        let mut catalog = Catalog::default();
        catalog.link(fixture_faulty::registry());
        let Lookup::Found(component) = catalog.find(Kind::Analyzer, "faulty") else { panic!("it is not there") };
        let text = "name = 'x'\n[[analyze]]\nuses = 'faulty'\n";
        let pipeline = config::parse(Path::new("pipeline.toml"), text, &[]).pipeline.unwrap();
        let limit = Duration::from_secs(3600);
        let host = ProbeHost {
            on_progress: Box::new(|_, _| {}),
            pace: Pace::default(),
            cancelled: Arc::default(),
            deadline: Some((Instant::now() + limit, limit)),
            models: Models::default(),
            confidence: std::collections::BTreeMap::new(),
            tolerated: std::collections::BTreeSet::new(),
            seconds: std::sync::Mutex::default(),
            artifacts: Artifacts::default(),
            earlier_runs: None,
        };
        let mut slot = Slot::open(&pipeline.probes[0], Opener::in_thread(component), host).unwrap();
        let fresh = slot.state().unwrap();
        let seen = modelwatch_sdk::state::encode(1, &[7, 0, 0]).unwrap();
        slot.merge(&seen).unwrap();
        assert_eq!(slot.state().unwrap(), seen);
        slot.reopen().unwrap();
        assert_eq!(slot.state().unwrap(), fresh);

        slot.count(limit / 2);
        slot.call(|_, _| Ok(()));
        assert_eq!(slot.failure(), None);
        slot.count(limit / 2);
        slot.call(|_, _| Ok(()));
        assert!(slot.failure().unwrap().contains("it took longer than its timeout"));
    }
}
