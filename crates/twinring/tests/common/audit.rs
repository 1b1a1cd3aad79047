//! What this process has of the system's things; Linux only.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    descriptors: usize,
    threads: usize,
    rings: usize,
}

impl Audit {
    pub(crate) fn now() -> Audit {
        let entries = |path| std::fs::read_dir(path).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        Audit {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            rings: maps
                .lines()
                .filter(|line| line.contains("memfd:twinring"))
                .count(),
        }
    }

    /// Whether there is more of anything than there was.
    pub(crate) fn exceeds(&self, before: &Audit) -> bool {
        self.descriptors > before.descriptors
            || self.threads > before.threads
            || self.rings > before.rings
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit {
            descriptors,
            threads,
            rings,
        } = self;
        write!(
            f,
            "{descriptors} descriptors {threads} threads {rings} rings"
        )
    }
}

impl FromStr for Audit {
    type Err = String;

    fn from_str(text: &str) -> Result<Audit, String> {
        let numbers: Vec<usize> = text
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        match numbers[..] {
            [descriptors, threads, rings] => Ok(Audit {
                descriptors,
                threads,
                rings,
            }),
            _ => Err(format!("{text:?} is no audit")),
        }
    }
}
