//! What a path leads to: to the module that defines it, through imports and re-exports.

use crate::builds::Builds;
use crate::source::{ANY, Crate, Kinds, MACRO, MODULE, Role, Site, TYPE};

/// Where a path leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) module: usize,
    /// Whether it is something that the module defines, not the module itself.
    pub(crate) is_item: bool,
    /// In which builds it leads there.
    pub(crate) builds: Builds,
}

/// A use of one module by another, as it was written.
#[derive(Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) builds: Builds,
    pub(crate) site: &'a Site,
}

impl Crate {
    /// The targets of a site, and the modules that its path names on the way.
    pub(crate) fn route(&self, site: &Site) -> (Vec<Target>, Vec<usize>) {
        let (asked, named) = (Vec::new(), Vec::new());
        let mut lookup = Lookup {
            sources: self,
            asked,
            named,
        };
        let mut targets = lookup.walk(site.scope, &site.path, site.kinds, site.builds);
        // A macro of `macro_rules` may be known without an import.
        if let (MACRO, [name], true) = (site.kinds, &site.path[..], targets.is_empty()) {
            for module in 0..self.modules.len() {
                targets.extend(lookup.member(module, name, MACRO, site.builds));
            }
        }
        (targets, lookup.named)
    }

    /// All uses of one module by another that count for circles.
    pub(crate) fn edges(&self) -> Vec<Edge<'_>> {
        let mut edges = Vec::new();
        for site in self.sites.iter().filter(|site| site.builds != 0) {
            let from = self.module_of(site.scope);
            for Target {
                module: to,
                is_item,
                builds,
            } in self.route(site).0
            {
                let is_facade = !is_item && self.modules[to].is_facade;
                let is_below = self.line_of(to).any(|module| module == from);
                let hands_on = site.role == Role::Reexport && is_below;
                if !is_facade && !hands_on {
                    edges.push(Edge {
                        from,
                        to,
                        builds,
                        site,
                    });
                }
            }
        }
        edges
    }
}

struct Lookup<'a> {
    sources: &'a Crate,
    /// What is being looked up, so that imports that name each other come to an end. Empty while
    /// the path as it is written is followed, not that of an import.
    asked: Vec<(usize, String, Kinds)>,
    named: Vec<usize>,
}

impl Lookup<'_> {
    fn walk(&mut self, scope: usize, path: &[String], kinds: Kinds, builds: Builds) -> Vec<Target> {
        let is_written = self.asked.is_empty();
        let here = self.sources.module_of(scope);
        let above = |module: usize| self.sources.module_of(self.sources.modules[module].parent);
        let kinds_at = |at: usize| {
            if at + 1 == path.len() {
                kinds
            } else {
                MODULE | TYPE
            }
        };
        let module = |module| {
            vec![Target {
                module,
                is_item: false,
                builds,
            }]
        };
        let mut targets = match path[0].as_str() {
            "crate" => module(0),
            "self" => module(here),
            "super" => module(above(here)),
            name => self.visible(scope, name, kinds_at(0), builds),
        };
        for (at, name) in path.iter().enumerate().skip(1) {
            let mut next = Vec::new();
            for target in &targets {
                if target.is_item || name == "self" {
                    // What belongs to a type: a variant, a method.
                    next.push(*target);
                    continue;
                }
                if is_written {
                    self.named.push(target.module);
                }
                if name == "super" {
                    next.push(Target {
                        module: above(target.module),
                        ..*target
                    });
                } else {
                    next.extend(self.member(target.module, name, kinds_at(at), target.builds));
                }
            }
            if next.is_empty() && is_written {
                // Made by a macro, or of another crate: the module's as far as can be told.
                next.extend(targets.iter().map(|target| Target {
                    is_item: true,
                    ..*target
                }));
            }
            targets = next;
        }
        targets
    }

    /// What a name means in a scope: in a block, also what it means around it.
    fn visible(&mut self, scope: usize, name: &str, kinds: Kinds, builds: Builds) -> Vec<Target> {
        let found = self.member(scope, name, kinds, builds);
        match &self.sources.modules[scope] {
            block if found.is_empty() && block.is_block => {
                self.visible(block.parent, name, kinds, builds)
            }
            _ => found,
        }
    }

    /// What a name means in this very scope, in any of these builds.
    fn member(&mut self, scope: usize, name: &str, kinds: Kinds, builds: Builds) -> Vec<Target> {
        let question = (scope, name.to_owned(), kinds);
        if self.asked.contains(&question) {
            return Vec::new();
        }
        self.asked.push(question);
        let module = &self.sources.modules[scope];
        let own = self.sources.module_of(scope);
        let items = module
            .items
            .iter()
            .filter(|item| item.name == name && item.kinds & kinds != 0);
        let item = |builds| Target {
            module: own,
            is_item: true,
            builds,
        };
        let mut found: Vec<Target> = items.map(|its| item(builds & its.builds)).collect();
        for (child, its) in self.sources.modules.iter().enumerate().skip(1) {
            if kinds & MODULE != 0 && its.parent == scope && !its.is_block && its.name == name {
                found.push(Target {
                    module: child,
                    is_item: false,
                    builds: builds & its.builds,
                });
            }
        }
        for import in module
            .imports
            .iter()
            .filter(|import| import.name.as_deref() == Some(name))
        {
            found.extend(self.walk(scope, &import.path, kinds, builds & import.builds));
        }
        found.retain(|target| target.builds != 0);
        if found.is_empty() {
            for glob in module.imports.iter().filter(|import| import.name.is_none()) {
                let from = self.walk(scope, &glob.path, ANY, builds & glob.builds);
                for target in from.into_iter().filter(|target| !target.is_item) {
                    found.extend(self.member(target.module, name, kinds, target.builds));
                }
            }
        }
        self.asked.pop();
        found
    }
}
