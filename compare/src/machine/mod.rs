//! What the machine and its kernel tell and give: clocks, processor time, memory, and what machine it
//! is. What only one system has for it is in its own folder here.

pub(crate) mod cache_line;
pub(crate) mod date;
mod description;
mod distance;
mod name;
mod process;
#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod system;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod system;

pub(crate) use description::{Machine, describe};
pub(crate) use distance::probe;
pub(crate) use name::unique_name;
pub(crate) use process::Usage;
pub(crate) use system::{
    SharedMemory, busy_ms, cpu_of, cpu_of_this_process, cpu_with_ended_threads, free_memory,
    now_ns, usage,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_of_this_process() {
        let me = std::process::id();
        let usage = usage(me).unwrap();
        assert!(usage.rss_kib > 0 && usage.threads > 0);
        // Wine counts no handles.
        assert!(usage.handles > 0 || describe().wine.is_some());
        assert!(cpu_of(me).unwrap() >= 0.0);
        assert!(busy_ms() > 0.0);
        let before = now_ns();
        assert!(now_ns() >= before);
        assert!(!describe().system.is_empty());
        assert!(free_memory() > 1 << 20);
    }
}
