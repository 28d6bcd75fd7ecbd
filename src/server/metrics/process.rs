//! What the process itself costs, under the names that Prometheus' client libraries share
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>), read from
//! `/proc/self` whenever someone asks.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{param, process};

/// The collector; without `/proc` it has nothing to say.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut say = |name, what, metric: &dyn Encode| metric.encode_as(name, what, &mut encoder);
        if let Some(usage) = Usage::read() {
            let what = "Processor time used, user and system, in seconds";
            say(
                "process_cpu_seconds",
                what,
                &ConstCounter::new(usage.cpu_seconds),
            )?;
            let what = "Memory in use";
            say(
                "process_resident_memory_bytes",
                what,
                &ConstGauge::new(usage.resident_bytes),
            )?;
            let what = "Threads";
            say("process_threads", what, &ConstGauge::new(usage.threads))?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let open = i64::try_from(open.count()).unwrap_or(i64::MAX);
            say(
                "process_open_fds",
                "Open file descriptors",
                &ConstGauge::new(open),
            )?;
        }
        if let Some(most) = process::getrlimit(process::Resource::Nofile).current {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let what = "The most file descriptors that may be open";
            say("process_max_fds", what, &ConstGauge::new(most))?;
        }
        Ok(())
    }
}

struct Usage {
    cpu_seconds: f64,
    resident_bytes: i64,
    threads: i64,
}

impl Usage {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// proc_pid_stat(5): after the command in parentheses, which may hold anything, the third
    /// field and those that follow.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
        let ticks = field(14)? + field(15)?;
        let page = i64::try_from(param::page_size()).ok()?;
        Some(Self {
            cpu_seconds: ticks as f64 / param::clock_ticks_per_second() as f64,
            resident_bytes: field(24)? * page,
            threads: field(20)?,
        })
    }
}

trait Encode {
    fn encode_as(&self, name: &str, what: &str, encoder: &mut DescriptorEncoder) -> fmt::Result;
}

impl<M: EncodeMetric> Encode for M {
    fn encode_as(&self, name: &str, what: &str, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let metric = encoder.encode_descriptor(name, what, None, self.metric_type())?;
        self.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_whatever_the_command_is_called() {
        let numbers: Vec<String> = (4..=52).map(|number| (number * 100).to_string()).collect();
        let stat = format!("7 (a) (b) S {}\n", numbers.join(" "));
        let usage = Usage::parse(&stat).expect("a usage");
        let ticks = param::clock_ticks_per_second() as f64;
        assert_eq!(usage.cpu_seconds, 2900.0 / ticks);
        assert_eq!(usage.resident_bytes, 2400 * param::page_size() as i64);
        assert_eq!(usage.threads, 2000);
        for broken in ["", "7 (a) S", "7 a S 1 2 3"] {
            assert!(Usage::parse(broken).is_none(), "{broken}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read().expect("Linux");
        assert!(usage.resident_bytes > 0 && usage.threads > 0);
    }
}
