//! The history of runs: one row each in an SQLite database, with the whole record as JSON.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use modelwatch_config::Pipeline;
use modelwatch_sdk::chunks::Period;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use thiserror::Error;

use crate::record::{RunRecord, Verdict};

/// The version of the tables, kept in `user_version`.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS runs (
    run_id     TEXT PRIMARY KEY,
    started    TEXT NOT NULL,
    pipeline   TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    exit_code  INTEGER NOT NULL,
    lineage    TEXT,
    checkpoint TEXT,
    record     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (started);
CREATE INDEX IF NOT EXISTS runs_by_pipeline ON runs (pipeline, started);
";

/// Returns where the history of a pipeline is kept.
pub fn path_of(pipeline: &Pipeline) -> PathBuf {
    pipeline.run.history.clone().unwrap_or_else(|| pipeline.root.join(".modelwatch").join("history.db"))
}

/// Puts a run into the history of its pipeline.
///
/// # Errors
/// When it cannot be written, or there is a run of that name.
pub fn keep(pipeline: &Pipeline, run: &RunRecord) -> Result<(), HistoryError> {
    History::open(&path_of(pipeline))?.add(run)
}

/// Puts a run into the history of its pipeline, in the place of what was said of it before.
///
/// # Errors
/// When it cannot be written.
pub fn replace(pipeline: &Pipeline, run: &RunRecord) -> Result<(), HistoryError> {
    History::open(&path_of(pipeline))?.write("INSERT OR REPLACE", run)
}

/// Which runs of a pipeline there were before one.
#[derive(Clone, Debug)]
pub(crate) struct EarlierRuns {
    /// The history.
    pub(crate) path: PathBuf,
    /// The name of the pipeline.
    pub(crate) pipeline: String,
    /// When the run began.
    pub(crate) now: Timestamp,
}

impl EarlierRuns {
    /// Returns how many runs of the pipeline the history has since the stretch of the calendar began that the run is in.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) fn count_in(&self, period: Period) -> Result<u64, HistoryError> {
        let start = period.start(self.now.as_millisecond() as f64 / 1000.0);
        let start = start.and_then(|it| Timestamp::from_second(it).ok()).unwrap_or(Timestamp::MIN);
        if self.path.exists() { History::read(&self.path)?.count_since(&self.pipeline, start) } else { Ok(0) }
    }
}

/// Why the history cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The database failed.
    #[error("cannot use the history `{}`: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database may only be read, and something was to be written.
    #[error("cannot write the history `{}`, which may only be read; let this user write the file and its folder, or name another one", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// The folder of the database cannot be made.
    #[error("cannot make the folder of the history `{}`: {source}", path.display())]
    Folder {
        /// The database.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database was written by a newer version.
    #[error("the history `{}` has version {found}, this modelwatch knows up to {SCHEMA_VERSION}; use a newer modelwatch", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It would be the first thing in a folder that may be the place of a file system, and the store is not there either.
    #[error(
        "no record was kept: the history `{}` would be the first thing in an empty folder, as where a file system is not \
         mounted, and the store is not there", path.display()
    )]
    Withheld {
        /// The database.
        path: PathBuf,
    },
    /// A record cannot be read back.
    #[error("the history `{}` has a record of run `{run_id}` that cannot be read: {reason}", path.display())]
    Record {
        /// The database.
        path: PathBuf,
        /// The run.
        run_id: String,
        /// Why.
        reason: String,
    },
}

fn failed(path: &Path, source: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => HistoryError::ReadOnly { path },
        _ => HistoryError::Database { path, source },
    }
}

/// The history in one database. Several processes may use it at once.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    connection: Connection,
}

/// One run, without its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// The run.
    pub run_id: String,
    /// When it started: RFC 3339, UTC.
    pub started: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its verdict, in its word.
    pub verdict: String,
    /// What the command ended with, which a pass does with an error where an action was not done.
    pub exit_code: u8,
    /// The lineage of the judged checkpoint.
    pub lineage: Option<String>,
    /// The judged checkpoint.
    pub checkpoint: Option<String>,
}

impl History {
    /// Opens the database, making it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        if let Some(dir) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|source| HistoryError::Folder { path: path.to_owned(), source })?;
        }
        let database = |source| failed(path, source);
        let connection = Connection::open(path).map_err(database)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(database)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(database)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
        if found > SCHEMA_VERSION {
            return Err(HistoryError::Newer { path: path.to_owned(), found });
        }
        connection.execute_batch(SCHEMA).map_err(database)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(database)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Opens a database that is there, also where it may only be read.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer version.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let res = match Self::open(path) {
            Err(HistoryError::ReadOnly { .. }) => Self::of_reader(path)?,
            res => return res,
        };
        let found: i64 =
            res.connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| res.database(e))?;
        if found > SCHEMA_VERSION { Err(HistoryError::Newer { path: path.to_owned(), found }) } else { Ok(res) }
    }

    /// Where nobody has it open there is no log beside it, and none can be made in a folder that may only be read: without one, what is in
    /// the file is all of it.
    fn of_reader(path: &Path) -> Result<Self, HistoryError> {
        let database = |source| failed(path, source);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = if Path::new(&log).exists() {
            Connection::open_with_flags(path, flags)
        } else {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let escape = |it: &str| it.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            Connection::open_with_flags(format!("file:{}?immutable=1", escape(&absolute.display().to_string())), flags)
        };
        Ok(Self { path: path.to_owned(), connection: connection.map_err(database)? })
    }

    /// Adds a run.
    ///
    /// # Errors
    /// When the database cannot be written, or has a run of that name.
    pub fn add(&self, run: &RunRecord) -> Result<(), HistoryError> {
        self.write("INSERT", run)
    }

    fn write(&self, how: &str, run: &RunRecord) -> Result<(), HistoryError> {
        let json = serde_json::to_string(run).map_err(|e| self.record_error(&run.run_id, &e))?;
        let checkpoint = run.checkpoint.as_ref();
        let row = params![
            run.run_id,
            run.timings.started,
            run.pipeline.name,
            run.verdict.as_str(),
            run.exit_code,
            checkpoint.and_then(|it| it.lineage.as_deref()),
            checkpoint.and_then(|it| it.id.as_deref()),
            json,
        ];
        self.connection
            .execute(&format!("{how} INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"), row)
            .map(drop)
            .map_err(|e| self.database(e))
    }

    /// Returns the newest runs, newest first, of one pipeline or of all, of one verdict or of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(
        &self,
        pipeline: Option<&str>,
        verdict: Option<Verdict>,
        limit: u32,
    ) -> Result<Vec<RunSummary>, HistoryError> {
        let query = "SELECT run_id, started, pipeline, verdict, exit_code, lineage, checkpoint FROM runs
                     WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR verdict = ?2)
                     ORDER BY started DESC, run_id DESC LIMIT ?3";
        let mut statement = self.connection.prepare(query).map_err(|e| self.database(e))?;
        let rows = statement.query_map(params![pipeline, verdict.map(Verdict::as_str), limit], |row| {
            Ok(RunSummary {
                run_id: row.get(0)?,
                started: row.get(1)?,
                pipeline: row.get(2)?,
                verdict: row.get(3)?,
                exit_code: row.get(4)?,
                lineage: row.get(5)?,
                checkpoint: row.get(6)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(|e| self.database(e))
    }

    fn count_since(&self, pipeline: &str, start: Timestamp) -> Result<u64, HistoryError> {
        let query = "SELECT COUNT(*) FROM runs WHERE pipeline = ?1 AND started >= ?2";
        // Without the `Z`, which sorts behind the fractions of the first second.
        let start = start.to_string();
        let row = self.connection.query_row(query, params![pipeline, start.trim_end_matches('Z')], |row| row.get(0));
        let n: i64 = row.map_err(|e| self.database(e))?;
        Ok(n.unsigned_abs())
    }

    /// Returns the record of a run of one pipeline or of any: of the newest one for `last`, otherwise of the one whose
    /// name is, or starts with, `run`.
    ///
    /// # Errors
    /// When the database or the record cannot be read.
    pub fn get(&self, pipeline: Option<&str>, run: &str) -> Result<Option<RunRecord>, HistoryError> {
        let start = if run == "last" { "" } else { run };
        let query = "SELECT run_id, record FROM runs
                     WHERE (?1 IS NULL OR pipeline = ?1) AND substr(run_id, 1, length(?2)) = ?2
                     ORDER BY run_id = ?2 DESC, started DESC, run_id DESC LIMIT 1";
        let row = self.connection.query_row(query, params![pipeline, start], |row| Ok((row.get(0)?, row.get(1)?)));
        let found: Option<(String, String)> = row.optional().map_err(|e| self.database(e))?;
        found.map(|(run_id, json)| serde_json::from_str(&json).map_err(|e| self.record_error(&run_id, &e))).transpose()
    }

    fn database(&self, source: rusqlite::Error) -> HistoryError {
        failed(&self.path, source)
    }

    fn record_error(&self, run_id: &str, reason: &dyn std::fmt::Display) -> HistoryError {
        HistoryError::Record { path: self.path.clone(), run_id: run_id.to_owned(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_from_the_start_of_the_calendars_stretch_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let at = |now: &str, pipeline: &str| EarlierRuns {
            path: path.clone(),
            pipeline: pipeline.to_owned(),
            now: now.parse().unwrap(),
        };
        assert_eq!(at("2026-03-04T10:00:00Z", "a").count_in(Period::Week).unwrap(), 0);
        assert!(!path.exists(), "to count is not to begin a history");
        let history = History::open(&path).unwrap();
        // A Sunday, the Monday after it, and its first seconds.
        let times =
            ["2026-03-01T23:59:59.999Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00.5Z", "2026-03-03T12:00:00Z"];
        for (idx, started) in times.iter().enumerate() {
            for pipeline in ["a", "b"] {
                let row = params![format!("{idx}{pipeline}"), started, pipeline];
                let query = "INSERT INTO runs VALUES (?1, ?2, ?3, 'pass', 0, NULL, NULL, '{}')";
                history.connection.execute(query, row).unwrap();
            }
        }
        let count = |period| at("2026-03-04T10:00:00Z", "a").count_in(period).unwrap();
        assert_eq!([Period::Day, Period::Week, Period::Month, Period::Year].map(count), [0, 3, 4, 4]);
        assert_eq!(at("2026-03-09T00:00:00Z", "a").count_in(Period::Week).unwrap(), 0);
        assert_eq!(at("2026-03-04T10:00:00Z", "c").count_in(Period::Year).unwrap(), 0);
    }
}
