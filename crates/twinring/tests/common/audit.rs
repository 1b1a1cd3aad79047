//! What a process has of the system's things, and whether it grows.

/// The names of what [`count`] counts.
#[cfg(target_os = "linux")]
pub(crate) const AUDITED: &[&str] = &[
    "descriptors",
    "threads",
    "mappings of rings",
    "bytes of memory",
];
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) const AUDITED: &[&str] = &["descriptors"];
#[cfg(windows)]
pub(crate) const AUDITED: &[&str] = &["handles"];

/// How much of each this process has now.
#[cfg(target_os = "linux")]
pub(crate) fn count() -> Vec<u64> {
    count_of("self")
}

/// How much of each a process has now.
#[cfg(target_os = "linux")]
pub(crate) fn count_of(process: impl std::fmt::Display) -> Vec<u64> {
    let entries = |what| {
        std::fs::read_dir(format!("/proc/{process}/{what}"))
            .unwrap()
            .count() as u64
    };
    let text = |what| std::fs::read_to_string(format!("/proc/{process}/{what}")).unwrap();
    let rings = text("maps")
        .lines()
        .filter(|line| line.contains("twinring"))
        .count() as u64;
    // What is its own; shared pages count for the mappings.
    let kib: u64 = text("status")
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .expect("Linux tells how much memory a process has");
    vec![entries("fd"), entries("task"), rings, kib * 1024]
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn count() -> Vec<u64> {
    vec![std::fs::read_dir("/dev/fd").unwrap().count() as u64]
}

/// Asks for each number whether it is a handle: Wine says 0 when it is asked how many there are.
#[cfg(windows)]
pub(crate) fn count() -> Vec<u64> {
    use windows_sys::Win32::Foundation::GetHandleInformation;
    /// So many numbers in a row that are none: there are no more.
    const GAP: usize = 256;
    let (mut count, mut gap) = (0, 0);
    for number in (4..).step_by(4) {
        let mut flags = 0;
        // SAFETY: room for the result; what is no handle is refused.
        if unsafe { GetHandleInformation(number as _, &mut flags) } != 0 {
            (count, gap) = (count + 1, 0);
        } else {
            gap += 1;
        }
        if gap == GAP {
            break;
        }
    }
    vec![count]
}

/// By how much `y` grows with each step of `x`: the line that fits the points best (least
/// squares).
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let both: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    both / square
}

/// Descriptors, threads and mappings of rings of this process: what must be as it was, to the last
/// one. Goes from one process to another as text.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audit([u64; 3]);

#[cfg(target_os = "linux")]
impl Audit {
    pub(crate) fn now() -> Audit {
        let counts = count();
        Audit(std::array::from_fn(|i| counts[i]))
    }

    /// Whether there is more of anything than there was.
    pub(crate) fn exceeds(&self, before: &Audit) -> bool {
        self.0.iter().zip(before.0).any(|(now, then)| *now > then)
    }
}

#[cfg(target_os = "linux")]
impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [descriptors, threads, rings] = self.0;
        write!(
            f,
            "{descriptors} descriptors {threads} threads {rings} rings"
        )
    }
}

#[cfg(target_os = "linux")]
impl std::str::FromStr for Audit {
    type Err = String;

    fn from_str(text: &str) -> Result<Audit, String> {
        let numbers: Vec<u64> = text
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let counts = numbers
            .try_into()
            .map_err(|_| format!("{text:?} is no audit"))?;
        Ok(Audit(counts))
    }
}

/// All that the system lets a process have: a link takes a handful of descriptors.
pub(crate) fn raise_limit_of_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let all = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, all).unwrap();
    }
}
