//! What a crate has to keep to. Each rule gives what is wrong, a line or more for each.

use std::collections::{BTreeMap, BTreeSet};

use crate::builds;
use crate::resolve::Edge;
use crate::source::{Crate, Role, Site, TYPE};

/// The rooms from the top down: each uses only itself and those below it.
pub(crate) const ROOMS: [&str; 10] = [
    "link",
    "driver",
    "handshake",
    "transfer",
    "frame",
    "ring",
    "segment",
    "sync",
    "os",
    "error",
];

/// Modules of the root that may use any room and are no part of the library, and why. No room may
/// use them.
pub(crate) const EXEMPT: [(&str, &str); 3] = [
    ("benching", "measures what lies in several rooms"),
    ("fuzzing", "feeds several rooms with what a peer may send"),
    ("testing", "switches and counts what lies in several rooms"),
];

type Faults = Vec<String>;

impl Crate {
    fn is_exempt(&self, module: usize) -> bool {
        let room = self.room(module);
        EXEMPT.iter().any(|(name, _)| room == Some(name))
    }

    fn file(&self, module: usize) -> &str {
        &self.modules[module].file
    }

    fn place(&self, site: &Site) -> String {
        format!("{}:{}", self.file(site.scope), site.line)
    }

    /// No file uses one that uses it, directly or through others.
    pub(crate) fn circles(&self) -> Faults {
        let mut edges = self.edges();
        edges.retain(|edge| !self.is_exempt(edge.from));
        // The files of each circle, and the builds that it is in.
        let mut circles: BTreeMap<BTreeSet<&str>, u8> = BTreeMap::new();
        for build in builds::NAMES.map(builds::bit) {
            let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for edge in edges.iter().filter(|edge| edge.builds & build != 0) {
                uses.entry(self.file(edge.from))
                    .or_default()
                    .insert(self.file(edge.to));
            }
            for &file in uses.keys() {
                let mut circle = reached(&uses, file);
                circle.retain(|other| reached(&uses, other).contains(file));
                if circle.len() > 1 {
                    *circles.entry(circle).or_default() |= build;
                }
            }
        }
        let mut faults = Faults::new();
        for (circle, builds) in &circles {
            let is_part = |large: &&BTreeSet<&str>| large != &circle && circle.is_subset(large);
            if !circles.keys().any(|large| is_part(&large)) {
                faults.push(self.describe(circle, *builds, &edges));
            }
        }
        faults
    }

    fn describe(&self, circle: &BTreeSet<&str>, builds: u8, edges: &[Edge<'_>]) -> String {
        let mut names = Vec::from(builds::NAMES);
        names.retain(|name| builds & builds::bit(name) != 0);
        let mut uses = BTreeMap::new();
        for edge in edges.iter().filter(|edge| edge.builds & builds != 0) {
            let (from, to) = (self.file(edge.from), self.file(edge.to));
            if from != to && circle.contains(from) && circle.contains(to) {
                uses.entry((from, to)).or_insert(edge.site);
            }
        }
        let files: Vec<&str> = circle.iter().copied().collect();
        let (files, names) = (files.join(", "), names.join(", "));
        let mut text = format!("a circle of {} files ({names}): {files}", circle.len());
        for ((_, to), site) in uses {
            let (place, path) = (self.place(site), site.path.join("::"));
            text += &format!("\n    {place} uses {to}, by {path}");
        }
        text
    }

    /// No room uses one above it, nor is there one that has no place in the order.
    pub(crate) fn arrows_up(&self) -> Faults {
        let mut faults = BTreeMap::new();
        let height = |room: &str| ROOMS.iter().rev().position(|name| *name == room);
        for (number, module) in self.modules.iter().enumerate().skip(1) {
            let is_room = module.parent == 0 && !module.is_block && module.builds != 0;
            if is_room && !self.is_exempt(number) && height(&module.name).is_none() {
                let (file, name) = (module.file.as_str(), &module.name);
                let text = format!("{file}: {name} has no place among the rooms");
                faults.insert((file, number), text);
            }
        }
        for site in self.sites.iter().filter(|site| site.builds != 0) {
            // The root and what is exempt use all; what has no place was found above.
            let room = self.room(site.scope).unwrap_or_default();
            let Some(own) = height(room) else { continue };
            let (targets, mut used) = self.route(site);
            used.retain(|&module| module != 0);
            let defined = targets.iter().filter(|to| to.is_item || to.module != 0);
            used.extend(defined.map(|to| to.module));
            for module in used {
                let other = self.room(module).unwrap_or("the root");
                if height(other).is_none_or(|other| other > own) {
                    let (place, path) = (self.place(site), site.path.join("::"));
                    let what = format!("{room} uses {other}, which is above it, by {path}");
                    // Once for each two of them.
                    let two = (self.file(site.scope), module);
                    faults.entry(two).or_insert(format!("{place}: {what}"));
                }
            }
        }
        let faults: BTreeSet<String> = faults.into_values().collect();
        faults.into_iter().collect()
    }

    /// Systems differ in `os` alone.
    pub(crate) fn systems_outside_os(&self) -> Faults {
        let mut faults = Faults::new();
        for (place, name) in &self.systems {
            if !place.starts_with("os/") {
                faults.push(format!("{place}: a cfg names {name} outside os/"));
            }
        }
        faults
    }

    /// Each type has a name of its own. In `os`, alternatives of one contract share it; and what
    /// stands for a type in a model has that type's.
    pub(crate) fn types_of_one_name(&self) -> Faults {
        let mut types: BTreeMap<&str, BTreeMap<String, (usize, u8)>> = BTreeMap::new();
        for (scope, module) in self.modules.iter().enumerate() {
            for item in module.items.iter().filter(|item| item.kinds & TYPE != 0) {
                if item.builds != 0 && !self.is_exempt(scope) {
                    // By the place: a file that two systems share is read twice.
                    let place = format!("{}:{}", module.file, item.line);
                    let same = types.entry(&item.name).or_default();
                    same.insert(place, (scope, item.builds));
                }
            }
        }
        let may_share = |a: (usize, u8), b: (usize, u8)| {
            let is_os = self.room(a.0) == Some("os") && self.contract(a.0) == self.contract(b.0);
            a.1 & b.1 == 0 && (is_os || a.1 == builds::LOOM || b.1 == builds::LOOM)
        };
        let mut faults = Faults::new();
        for (name, places) in types {
            let all: Vec<_> = places.values().copied().collect();
            if (1..all.len()).any(|b| (0..b).any(|a| !may_share(all[a], all[b]))) {
                let places: Vec<String> = places.into_keys().collect();
                let (count, places) = (places.len(), places.join(", "));
                faults.push(format!("{name} is defined {count} times: {places}"));
            }
        }
        faults
    }

    /// Nothing reaches for its parent's parent: what is far away is imported by `crate::`.
    pub(crate) fn grandparents(&self) -> Faults {
        let places = self.grandparents.iter();
        places
            .map(|place| format!("{place}: super::super"))
            .collect()
    }

    /// What a type can do stands in its room, and in `transfer` in its file.
    pub(crate) fn impls_elsewhere(&self) -> Faults {
        let mut faults = Faults::new();
        for site in self.sites.iter().filter(|site| site.role == Role::Impl) {
            let is_checked = site.builds != 0 && !self.is_exempt(site.scope);
            for target in self.route(site).0.iter().filter(|_| is_checked) {
                let room = self.room(target.module);
                let (own, file) = (self.file(site.scope), self.file(target.module));
                if room != self.room(site.scope) || (room == Some("transfer") && own != file) {
                    let (place, name) = (self.place(site), site.path.join("::"));
                    faults.push(format!("{place}: impl {name} belongs into {file}"));
                }
            }
        }
        faults
    }

    /// Every file is reached, or nothing was checked of it.
    pub(crate) fn strays(&self) -> Faults {
        let lost = |file: &String| format!("{file}: no `mod` leads to it");
        self.stray.iter().map(lost).collect()
    }
}

/// The files that `file` uses, directly or through others.
fn reached<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = uses.get(file).into_iter().flatten().copied().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(uses.get(next).into_iter().flatten());
        }
    }
    reached
}
