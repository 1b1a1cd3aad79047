//! What collectors have written.

use std::collections::HashMap;
use std::fs;

use serde_json::Value;

use crate::common::Place;

pub(crate) struct Records {
    text: String,
    /// Of each client, in the order of the files: the numbers, and how many were dropped up to each.
    numbers: HashMap<String, Vec<(u64, u64)>>,
    messages: HashMap<String, u64>,
}

impl Records {
    /// All files of `-o out`, the oldest first. Half a line at the end of one is not looked at.
    pub(crate) fn read(place: &Place) -> Records {
        let folder = place.path("");
        let mut old: Vec<u32> = Place::names(&folder)
            .iter()
            .filter_map(|name| name.strip_prefix("out.")?.parse().ok())
            .collect();
        old.sort_unstable_by(|a, b| b.cmp(a));
        let read = |name: String| fs::read_to_string(folder.join(name)).ok();
        let mut text = String::new();
        for old in old
            .into_iter()
            .filter_map(|number| read(format!("out.{number}")))
        {
            text += &old[..old.rfind('\n').map_or(0, |end| end + 1)];
        }
        text += &read("out".into()).unwrap_or_default();
        let (mut numbers, mut messages) = (HashMap::<_, Vec<_>>::new(), HashMap::new());
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            let record: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if record["kind"] == "clients" {
                continue;
            }
            let message = record["message"].as_str().unwrap().to_owned();
            *messages.entry(message).or_default() += 1;
            if let Some(number) = record["number"].as_u64() {
                let client = record["client"].as_str().unwrap().to_owned();
                let dropped = record["dropped"].as_u64().unwrap_or(0);
                numbers.entry(client).or_default().push((number, dropped));
            }
        }
        Records {
            text,
            numbers,
            messages,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Each number once, in order, or told as dropped.
    #[track_caller]
    pub(crate) fn are_exact(&self) {
        for (client, numbers) in &self.numbers {
            let mut last = 0;
            for &(number, dropped) in numbers {
                let first = if dropped == 0 {
                    number
                } else {
                    number + 1 - dropped
                };
                assert_eq!(first, last + 1, "of {client}");
                last = number;
            }
        }
    }

    pub(crate) fn clients(&self) -> usize {
        self.numbers.len()
    }

    /// Records that applications made: not those that tell of others.
    pub(crate) fn count(&self) -> u64 {
        let all = self.numbers.values().flatten();
        all.filter(|(_, dropped)| *dropped == 0).count() as u64
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.numbers
            .values()
            .flatten()
            .map(|(_, dropped)| dropped)
            .sum()
    }

    pub(crate) fn with_message(&self, message: &str) -> u64 {
        self.messages.get(message).copied().unwrap_or(0)
    }
}
