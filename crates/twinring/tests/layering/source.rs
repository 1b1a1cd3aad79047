//! The text of a crate, and what is known of it once it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use proc_macro2::TokenStream;

use crate::builds::{self, Builds};
use crate::reader::Reader;
use crate::tokens;

/// The files below a source folder: path, with `/`, and text.
pub(crate) type Tree = BTreeMap<String, String>;

/// Reads all `.rs` files below `folder`.
pub(crate) fn tree(folder: &Path) -> io::Result<Tree> {
    fn walk(folder: &Path, before: &str, tree: &mut Tree) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), tree)?;
            } else if name.ends_with(".rs") {
                tree.insert(name, fs::read_to_string(entry.path())?);
            }
        }
        Ok(())
    }
    let mut tree = Tree::new();
    walk(folder, "", &mut tree)?;
    Ok(tree)
}

/// What a name may stand for. A `use` takes all of one name.
pub(crate) type Kinds = u8;
pub(crate) const MODULE: Kinds = 1;
pub(crate) const TYPE: Kinds = 2;
pub(crate) const VALUE: Kinds = 4;
pub(crate) const MACRO: Kinds = 8;
pub(crate) const ANY: Kinds = MODULE | TYPE | VALUE | MACRO;

/// A module, or a block with items of its own.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// The root is its own.
    pub(crate) parent: usize,
    pub(crate) file: String,
    pub(crate) builds: Builds,
    pub(crate) is_block: bool,
    /// Whether it defines nothing, only declares modules and imports.
    pub(crate) is_facade: bool,
    pub(crate) items: Vec<Item>,
    pub(crate) imports: Vec<Import>,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kinds: Kinds,
    pub(crate) line: usize,
    pub(crate) builds: Builds,
}

#[derive(Debug)]
pub(crate) struct Import {
    /// `None` for a glob.
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) builds: Builds,
}

/// A place where a path is written.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) scope: usize,
    pub(crate) path: Vec<String>,
    pub(crate) kinds: Kinds,
    pub(crate) line: usize,
    pub(crate) builds: Builds,
    pub(crate) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Use,
    /// A `pub use`: of what lies below, it is no use of it.
    Reexport,
    /// The type of an `impl` that is of no trait.
    Impl,
    Code,
}

#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// The root is the first.
    pub(crate) modules: Vec<Module>,
    pub(crate) sites: Vec<Site>,
    /// Where a `cfg` names a system: file and line, name.
    pub(crate) systems: Vec<(String, String)>,
    /// Where there is a `super::super`: file and line.
    pub(crate) grandparents: Vec<String>,
    /// Files that no `mod` leads to, so that nothing is known of them.
    pub(crate) stray: Vec<String>,
}

impl Crate {
    pub(crate) fn read(tree: &Tree, root: &str) -> Crate {
        let mut this = Crate::default();
        for (file, text) in tree {
            let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{file}: {e}"));
            let mut systems = Vec::new();
            tokens::systems(tokens.clone(), &mut systems);
            for (line, name) in systems {
                this.systems.push((format!("{file}:{line}"), name));
            }
            for line in tokens::grandparents(tokens) {
                this.grandparents.push(format!("{file}:{line}"));
            }
        }
        Reader::read(&mut this, tree, root);
        let read: BTreeSet<&String> = this.modules.iter().map(|module| &module.file).collect();
        let stray = tree.keys().filter(|file| !read.contains(file)).cloned();
        this.stray = stray.collect();
        this
    }

    /// The module that a block is in; of a module, itself.
    pub(crate) fn module_of(&self, mut scope: usize) -> usize {
        while self.modules[scope].is_block {
            scope = self.modules[scope].parent;
        }
        scope
    }

    /// The modules above this one, itself first, the root last.
    pub(crate) fn line_of(&self, module: usize) -> impl Iterator<Item = usize> {
        let parent = |&module: &usize| (module != 0).then(|| self.modules[module].parent);
        std::iter::successors(Some(module), parent)
    }

    /// The module of the root that it is in; `None` for the root itself.
    pub(crate) fn room(&self, module: usize) -> Option<&str> {
        let mut below_root = self
            .line_of(module)
            .filter(|&m| m != 0 && self.modules[m].parent == 0);
        below_root.next().map(|m| self.modules[m].name.as_str())
    }

    /// What two definitions of one name have to share to be alternatives: the module above the
    /// first one that only some systems have.
    pub(crate) fn contract(&self, module: usize) -> usize {
        let mut contract = module;
        for module in self.line_of(module) {
            let parent = self.modules[module].parent;
            let lost = self.modules[parent].builds & !self.modules[module].builds;
            if lost & !builds::LOOM != 0 {
                contract = parent;
            }
        }
        contract
    }
}
