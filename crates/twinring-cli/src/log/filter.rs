//! Which records are wanted.

use clap::Args;

use super::record::{Level, Record};

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only records that are at least so severe
    #[arg(short, long, value_enum, ignore_case = true, value_name = "LEVEL")]
    level: Option<Level>,

    /// Only records of the process with this name or id
    #[arg(short, long, value_name = "NAME|PID")]
    process: Option<String>,

    /// Only records that have this text in their message, target, fields or spans
    #[arg(short, long, value_name = "TEXT")]
    grep: Option<String>,
}

impl Filter {
    /// What was dropped may have been wanted.
    pub(super) fn wants(&self, record: &Record) -> bool {
        let by_process =
            |process: &String| *process == record.process || process.parse() == Ok(record.pid);
        let by_text = |text: &String| {
            record.message.contains(text)
                || record.target.contains(text)
                || record
                    .fields
                    .iter()
                    .chain(record.spans.iter().flatten())
                    .any(|(name, value)| {
                        name.contains(text)
                            || match value.as_str() {
                                Some(value) => value.contains(text),
                                None => value.to_string().contains(text),
                            }
                    })
        };
        self.process.as_ref().is_none_or(by_process)
            && (record.dropped > 0
                || self.level.is_none_or(|level| record.level >= level)
                    && self.grep.as_ref().is_none_or(by_text))
    }
}
