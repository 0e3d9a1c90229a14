//! The detectors by name, with their settings.

mod options;

use modelwatch_sdk::{Error, JsonSchema, Result};
use modelwatch_stats::online::{
    Adwin, AdwinSettings, Cusum, CusumSettings, Ddm, DdmSettings, Detector, Eddm, EddmSettings, HddmA, HddmW, Kswin,
    PageHinkley, PageHinkleySettings,
};
use serde::Deserialize;

use crate::{config::Config, ranks, scale::Scale};

pub use self::options::{
    AdwinOptions, CusumOptions, DdmOptions, EddmOptions, HddmAOptions, HddmWOptions, KswinOptions, PageHinkleyOptions,
};

/// How changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DetectorName {
    /// A window that drops its older part where the means of both parts differ, in either direction (Bifet and Gavaldà 2007).
    #[default]
    Adwin,
    /// An error rate that rises above its least by some deviations (Gama et al. 2004).
    Ddm,
    /// Distances between errors that become shorter (Baena-García et al. 2006).
    Eddm,
    /// A mean that rises, by Hoeffding's bound (Frías-Blanco et al. 2014).
    HddmA,
    /// A weighted mean that rises, by McDiarmid's bound (Frías-Blanco et al. 2014).
    HddmW,
    /// A mean that changes in either direction, by sums of deviations (Page 1954, Hinkley 1971).
    PageHinkley,
    /// The newest values against those before them, by the Kolmogorov-Smirnov test (Raab et al. 2020).
    Kswin,
    /// A mean that moves away from a known one, by sums of deviations (Page 1954).
    Cusum,
}

/// The values that a detector is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Any finite numbers.
    Any,
    /// Numbers from 0 to 1.
    Share,
    /// 0 and 1.
    Flag,
}

/// A detector with its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Settings {
    Adwin(AdwinSettings),
    Ddm(DdmSettings),
    Eddm(EddmSettings),
    HddmA(HddmAOptions),
    HddmW(HddmWOptions),
    PageHinkley(PageHinkleySettings),
    Kswin(KswinOptions),
    /// What the mean and the standard deviation are; none where the first values say it.
    Cusum(CusumOptions),
}

/// A detector that looks at a stream.
#[derive(Clone, Debug)]
pub(crate) enum Running {
    Adwin(Adwin),
    Ddm(Ddm),
    Eddm(Eddm),
    HddmA(HddmA),
    HddmW(HddmW),
    PageHinkley(PageHinkley),
    Kswin(Kswin),
    Cusum(Cusum),
}

impl Running {
    pub(crate) fn get(&self) -> &dyn Detector {
        match self {
            Self::Adwin(it) => it,
            Self::Ddm(it) => it,
            Self::Eddm(it) => it,
            Self::HddmA(it) => it,
            Self::HddmW(it) => it,
            Self::PageHinkley(it) => it,
            Self::Kswin(it) => it,
            Self::Cusum(it) => it,
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut dyn Detector {
        match self {
            Self::Adwin(it) => it,
            Self::Ddm(it) => it,
            Self::Eddm(it) => it,
            Self::HddmA(it) => it,
            Self::HddmW(it) => it,
            Self::PageHinkley(it) => it,
            Self::Kswin(it) => it,
            Self::Cusum(it) => it,
        }
    }
}

impl DetectorName {
    /// Returns its name in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adwin => "adwin",
            Self::Ddm => "ddm",
            Self::Eddm => "eddm",
            Self::HddmA => "hddm-a",
            Self::HddmW => "hddm-w",
            Self::PageHinkley => "page-hinkley",
            Self::Kswin => "kswin",
            Self::Cusum => "cusum",
        }
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Self::Ddm | Self::Eddm => Domain::Flag,
            Self::HddmA | Self::HddmW => Domain::Share,
            _ => Domain::Any,
        }
    }
}

impl Domain {
    /// Returns whether a detector can take the value, which is finite.
    pub(crate) fn has(self, value: f64) -> bool {
        match self {
            Self::Any => true,
            Self::Share => (0.0..=1.0).contains(&value),
            Self::Flag => value == 0.0 || value == 1.0,
        }
    }
}

impl Config {
    pub(crate) fn check_detector(&self) -> Result<()> {
        let given = [
            (DetectorName::Adwin, "adwin", self.adwin.is_some()),
            (DetectorName::Ddm, "ddm", self.ddm.is_some()),
            (DetectorName::Eddm, "eddm", self.eddm.is_some()),
            (DetectorName::HddmA, "hddm_a", self.hddm_a.is_some()),
            (DetectorName::HddmW, "hddm_w", self.hddm_w.is_some()),
            (DetectorName::PageHinkley, "page_hinkley", self.page_hinkley.is_some()),
            (DetectorName::Kswin, "kswin", self.kswin.is_some()),
            (DetectorName::Cusum, "cusum", self.cusum.is_some()),
        ];
        if let Some((other, key, _)) = given.into_iter().find(|it| it.2 && it.0 != self.detector) {
            let message = format!("the detector is `{}`, not `{}`", self.detector.name(), other.name());
            return Err(Error::config(format!("/{key}"), message)
                .with_help(format!("set `detector = \"{}\"`, or leave this out", other.name())));
        }
        self.detector_settings().map(drop)
    }

    /// Returns the detector with its settings.
    ///
    /// # Errors
    /// When a setting is outside of its domain.
    pub(crate) fn detector_settings(&self) -> Result<Settings> {
        Ok(match self.detector {
            DetectorName::Adwin => adwin(self.adwin.unwrap_or_default())?,
            DetectorName::Ddm => ddm(self.ddm.unwrap_or_default())?,
            DetectorName::Eddm => eddm(self.eddm.unwrap_or_default())?,
            DetectorName::HddmA => {
                let it = self.hddm_a.unwrap_or_default();
                confidences("/hddm_a", it.drift_confidence, it.warning_confidence)?;
                Settings::HddmA(it)
            }
            DetectorName::HddmW => {
                let it = self.hddm_w.unwrap_or_default();
                confidences("/hddm_w", it.drift_confidence, it.warning_confidence)?;
                require("/hddm_w/lambda", is_share(it.lambda), BETWEEN)?;
                Settings::HddmW(it)
            }
            DetectorName::PageHinkley => page_hinkley(self.page_hinkley.unwrap_or_default())?,
            DetectorName::Kswin => kswin(self.kswin.unwrap_or_default())?,
            DetectorName::Cusum => cusum(self.cusum.unwrap_or_default(), self)?,
        })
    }
}

impl Settings {
    /// Returns a detector that saw nothing yet, of values in that scale where they have one.
    pub(crate) fn start(&self, scale: Option<&Scale>) -> Running {
        match *self {
            // Its bound is that of values which do not reach far.
            Self::Adwin(it) => {
                Running::Adwin(Adwin::new(AdwinSettings { reach: scale.map_or(it.reach, Scale::reach), ..it }))
            }
            Self::Ddm(it) => Running::Ddm(Ddm::new(it)),
            Self::Eddm(it) => Running::Eddm(Eddm::new(it)),
            Self::HddmA(it) => Running::HddmA(HddmA::new(it.drift_confidence, it.warning_confidence)),
            Self::HddmW(it) => Running::HddmW(HddmW::new(it.drift_confidence, it.warning_confidence, it.lambda)),
            Self::PageHinkley(it) => Running::PageHinkley(PageHinkley::new(it)),
            Self::Kswin(it) => Running::Kswin(Kswin::new(it.alpha, it.window_size as usize, it.stat_size as usize)),
            // Without a mean of its own it sees standardized values.
            Self::Cusum(it) => Running::Cusum(Cusum::new(CusumSettings {
                mean: it.mean.unwrap_or(0.0),
                deviation: it.deviation.unwrap_or(1.0),
                slack: it.slack,
                threshold: it.threshold,
            })),
        }
    }

    /// Returns why the detector cannot have decided anything of so few values and errors; none where it can.
    pub(crate) fn shortfall(&self, n: u64, n_errors: u64) -> Option<String> {
        let least = match self {
            Self::Adwin(it) => {
                let least = it.clock.max(it.grace_period.saturating_add(1)).max(it.min_window_length.saturating_mul(2));
                least.checked_next_multiple_of(it.clock).unwrap_or(least)
            }
            Self::Ddm(it) => it.warm_start.saturating_add(1),
            Self::Eddm(it) => it.warm_start.saturating_add(1),
            Self::HddmA(_) | Self::HddmW(_) => 2,
            Self::PageHinkley(it) => it.min_rows.max(1),
            Self::Kswin(it) => it.window_size,
            Self::Cusum(_) => 1,
        };
        if n < least {
            return Some(format!("there are {n} values, and the detector decides nothing before the {least}th"));
        }
        match self {
            Self::Eddm(it) if n_errors <= it.warm_start => Some(format!(
                "there are {n_errors} errors, and the detector decides nothing before it saw more than {}",
                it.warm_start
            )),
            _ => None,
        }
    }
}

fn adwin(it: AdwinOptions) -> Result<Settings> {
    require("/adwin/delta", is_share(it.delta), BETWEEN)?;
    require("/adwin/clock", it.clock >= 1, "1 or more")?;
    require("/adwin/max_buckets", (1..=1000).contains(&it.max_buckets), "1 to 1000")?;
    require("/adwin/min_window_length", it.min_window_length >= 1, "1 or more")?;
    Ok(Settings::Adwin(AdwinSettings {
        delta: it.delta,
        clock: it.clock,
        max_buckets: it.max_buckets as usize,
        min_window_length: it.min_window_length,
        grace_period: it.grace_period,
        ..AdwinSettings::PAPER
    }))
}

fn ddm(it: DdmOptions) -> Result<Settings> {
    require("/ddm/drift_threshold", it.drift_threshold > 0.0, "a number above 0")?;
    let is_fine = it.warning_threshold > 0.0 && it.warning_threshold <= it.drift_threshold;
    require("/ddm/warning_threshold", is_fine, "a number above 0 and at most `drift_threshold`")?;
    let DdmOptions { warm_start, warning_threshold, drift_threshold } = it;
    Ok(Settings::Ddm(DdmSettings { warm_start, warning_threshold, drift_threshold }))
}

fn eddm(it: EddmOptions) -> Result<Settings> {
    require("/eddm/alpha", is_share(it.alpha), BETWEEN)?;
    require("/eddm/beta", it.beta > 0.0 && it.beta <= it.alpha, "a number above 0 and at most `alpha`")?;
    Ok(Settings::Eddm(EddmSettings { warm_start: it.warm_start, alpha: it.alpha, beta: it.beta }))
}

fn page_hinkley(it: PageHinkleyOptions) -> Result<Settings> {
    require("/page_hinkley/delta", it.delta >= 0.0 && it.delta.is_finite(), "a number from 0 on")?;
    require("/page_hinkley/threshold", it.threshold > 0.0 && it.threshold.is_finite(), "a number above 0")?;
    require("/page_hinkley/alpha", it.alpha > 0.0 && it.alpha <= 1.0, "a number above 0 and at most 1")?;
    Ok(Settings::PageHinkley(PageHinkleySettings {
        min_rows: it.min_instances,
        delta: it.delta,
        threshold: it.threshold,
        alpha: it.alpha,
    }))
}

fn kswin(it: KswinOptions) -> Result<Settings> {
    require("/kswin/alpha", is_share(it.alpha), BETWEEN)?;
    require("/kswin/window_size", (2..=100_000).contains(&it.window_size), "2 to 100000")?;
    let is_fine = (1..it.window_size).contains(&it.stat_size);
    require("/kswin/stat_size", is_fine, "1 or more, and less than `window_size`")?;
    Ok(Settings::Kswin(it))
}

fn cusum(it: CusumOptions, config: &Config) -> Result<Settings> {
    require("/cusum/slack", it.slack >= 0.0 && it.slack.is_finite(), "a number from 0 on")?;
    require("/cusum/threshold", it.threshold > 0.0 && it.threshold.is_finite(), "a number above 0")?;
    match (it.mean, it.deviation) {
        (Some(mean), Some(deviation)) => {
            require("/cusum/mean", mean.is_finite(), "a number")?;
            require("/cusum/deviation", deviation > 0.0 && deviation.is_finite(), "a number above 0")?;
        }
        (None, None) if !config.standardize => {
            return Err(Error::config("/standardize", "`cusum` needs to know the usual mean and standard deviation")
                .with_help("give both in `cusum`, or leave `standardize` out to take them from the first values"));
        }
        (None, None) => {
            let (n, most) = (config.warm_up, ranks::most(config.warm_up as f64));
            if it.slack >= most {
                let message =
                    format!("expected less than {most:.2}, which a value beyond all of the first {n} counts for");
                return Err(Error::config("/cusum/slack", message)
                    .with_help("lower it, raise `warm_up`, or give `mean` and `deviation`"));
            }
        }
        (Some(_), None) => return Err(half("/cusum/deviation", "mean")),
        (None, Some(_)) => return Err(half("/cusum/mean", "deviation")),
    }
    Ok(Settings::Cusum(it))
}

fn half(path: &str, given: &str) -> Error {
    Error::config(path, format!("`{given}` alone says too little")).with_help("give both, or none of them")
}

const BETWEEN: &str = "a number between 0 and 1";

fn is_share(value: f64) -> bool {
    value > 0.0 && value < 1.0
}

fn confidences(at: &str, drift: f64, warning: f64) -> Result<()> {
    require(&format!("{at}/warning_confidence"), is_share(warning), BETWEEN)?;
    let is_fine = drift > 0.0 && drift <= warning;
    require(&format!("{at}/drift_confidence"), is_fine, "a number above 0 and at most `warning_confidence`")
}

fn require(path: &str, is_fine: bool, expected: &str) -> Result<()> {
    if is_fine { Ok(()) } else { Err(Error::config(path, format!("expected {expected}"))) }
}
