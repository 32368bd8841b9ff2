//! CPU time and memory of processes, as the kernel counts them.

use std::fs;
use std::ops::Sub;

use anyhow::{Context, Result};

/// User and system time of a process and its threads, in seconds, to a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct CpuSeconds(pub f64);

impl CpuSeconds {
    /// Of a process so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn of(pid: u32) -> Result<Self> {
        let file = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        // The name, in parentheses, may hold anything; what follows begins with the third field.
        let fields: Vec<&str> =
            text.rsplit_once(')').context("a process without a name")?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = (ticks(14).context("no user time")?, ticks(15).context("no system time")?);
        Ok(Self((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Of this process so far.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of_this_process() -> Result<Self> {
        Self::of(std::process::id())
    }
}

impl Sub for CpuSeconds {
    type Output = f64;

    fn sub(self, before: Self) -> f64 {
        self.0 - before.0
    }
}

/// Memory of a process (its number, or `self`) that is in use.
///
/// # Errors
/// When it does not run.
pub fn resident_bytes(process: &str) -> Result<f64> {
    let file = format!("/proc/{process}/statm");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let pages: f64 = text.split_whitespace().nth(1).context("no resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_time() {
        let before = CpuSeconds::of_this_process().unwrap();
        let mut sum = 0u64;
        while CpuSeconds::of_this_process().unwrap() - before < 0.05 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(CpuSeconds::of(u32::MAX).is_err());
    }
}
