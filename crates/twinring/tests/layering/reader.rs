//! Reads the modules, the definitions and the paths out of files.

use std::collections::HashSet;
use std::mem;

use proc_macro2::{Ident, TokenStream};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Item as Syntax, Lit, Meta, Stmt, UseTree, Visibility};

use crate::builds::{self, Builds};
use crate::source::*;
use crate::tokens::{self, line, name};

pub(crate) struct Reader<'a> {
    found: &'a mut Crate,
    tree: &'a Tree,
    scope: usize,
    /// Those that have what is being read: its attributes, which come first, take from them.
    builds: Builds,
    /// The folder of the file, and the one in which the modules of this one lie.
    here: String,
    below: String,
    is_inline: bool,
    /// What variables of the function are called.
    variables: HashSet<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn read(found: &'a mut Crate, tree: &'a Tree, root: &str) {
        let mut reader = Reader {
            found,
            tree,
            scope: 0,
            builds: builds::ALL,
            here: String::new(),
            below: String::new(),
            is_inline: false,
            variables: HashSet::new(),
        };
        reader.read_file("crate", root);
    }

    /// Reads the file of a module. Of a test, it may lie elsewhere.
    fn read_file(&mut self, name: &str, file: &str) {
        let Some(text) = self.tree.get(file) else {
            assert!(self.builds == 0, "there is no {file}, for `mod {name}`");
            return;
        };
        let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        self.attributes(&syntax.attrs);
        self.open(name, file, false, |me| me.items(&syntax.items));
    }

    /// Does `f` in a new scope.
    fn open(&mut self, name: &str, file: &str, is_block: bool, f: impl FnOnce(&mut Self)) {
        self.found.modules.push(Module {
            name: name.to_owned(),
            parent: self.scope,
            file: file.to_owned(),
            builds: self.builds,
            is_block,
            is_facade: true,
            items: Vec::new(),
            imports: Vec::new(),
        });
        let outer = mem::replace(&mut self.scope, self.found.modules.len() - 1);
        f(self);
        self.scope = outer;
    }

    fn items(&mut self, items: &[Syntax]) {
        for item in items {
            self.visit_item(item);
        }
    }

    fn attributes(&mut self, attrs: &[Attribute]) {
        for attr in attrs {
            self.visit_attribute(attr);
        }
    }

    fn file(&self) -> String {
        self.found.modules[self.scope].file.clone()
    }

    fn note(&mut self, path: Vec<String>, kinds: Kinds, line: usize, role: Role) {
        let (scope, builds) = (self.scope, self.builds);
        let site = Site {
            scope,
            path,
            kinds,
            line,
            builds,
            role,
        };
        self.found.sites.push(site);
    }

    fn note_path(&mut self, path: &syn::Path, kinds: Kinds, role: Role) {
        let names: Vec<String> = path.segments.iter().map(|part| name(&part.ident)).collect();
        // `self` alone is a variable; what begins with `::` is another crate's.
        if path.leading_colon.is_none() && names != ["self"] && names[0] != "Self" {
            self.note(names, kinds, line(&path.segments[0].ident), role);
        }
    }

    fn note_tokens(&mut self, tokens: &TokenStream, in_attribute: bool) {
        for written in tokens::paths(tokens.clone(), in_attribute) {
            let first = &written.path[0];
            let is_type = first.starts_with(char::is_uppercase) && first != "Self";
            // A single word may be a variable, or part of the macro's own language.
            if written.path.len() > 1 || is_type || (written.is_called && !in_attribute) {
                self.note(written.path, ANY, written.line, Role::Code);
            }
        }
    }

    fn import(&mut self, tree: &UseTree, path: &[String], role: Role) {
        match tree {
            UseTree::Path(part) => {
                self.import(&part.tree, &[path, &[name(&part.ident)]].concat(), role);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path, role);
                }
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.add_import(None, path.to_vec(), line, role);
            }
            // `use a::b::{self}` is `use a::b`.
            UseTree::Name(leaf) if leaf.ident == "self" => {
                self.add_import(path.last().cloned(), path.to_vec(), line(&leaf.ident), role);
            }
            UseTree::Name(leaf) => {
                let full = [path, &[name(&leaf.ident)]].concat();
                self.add_import(Some(name(&leaf.ident)), full, line(&leaf.ident), role);
            }
            UseTree::Rename(leaf) => {
                let full = [path, &[name(&leaf.ident)]].concat();
                self.add_import(Some(name(&leaf.rename)), full, line(&leaf.ident), role);
            }
        }
    }

    fn add_import(&mut self, name: Option<String>, path: Vec<String>, line: usize, role: Role) {
        let builds = self.builds;
        self.note(path.clone(), ANY, line, role);
        let module = &mut self.found.modules[self.scope];
        module.imports.push(Import { name, path, builds });
    }

    /// A module in a file of its own, which an attribute may name.
    fn read_module(&mut self, name: &str, given: Option<String>) {
        let mut file = joined(&self.below, &format!("{name}/mod.rs"));
        let mut is_folder = self.tree.contains_key(&file);
        if let Some(path) = given {
            let folder = if self.is_inline {
                &self.below
            } else {
                &self.here
            };
            (file, is_folder) = (joined(folder, &path), true);
        } else if !is_folder {
            file = joined(&self.below, &format!("{name}.rs"));
        }
        let here = joined(&file, "..");
        // The modules of `a/b.rs` lie in `a/b`, unless the file was given.
        let below = joined(&here, if is_folder { "" } else { name });
        let outer = (self.here.clone(), self.below.clone(), self.is_inline);
        (self.here, self.below, self.is_inline) = (here, below, false);
        self.read_file(name, &file);
        (self.here, self.below, self.is_inline) = outer;
    }
}

/// A path below a folder, without `..`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split(['/', '\\'])) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Nodes that may have attributes, by which they are in fewer builds than what they are part of.
macro_rules! in_fewer_builds {
    ($($visit:ident: $node:ident),+) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            let outer = self.builds;
            visit::$visit(self, node);
            self.builds = outer;
        })+
    };
}

/// Functions, which have variables.
macro_rules! functions {
    ($($visit:ident: $node:ident),+) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            let mut variables = Variables(self.variables.clone());
            variables.$visit(node);
            let outer = mem::replace(&mut self.variables, variables.0);
            visit::$visit(self, node);
            self.variables = outer;
        })+
    };
}

impl<'ast> Visit<'ast> for Reader<'_> {
    in_fewer_builds!(
        visit_impl_item: ImplItem, visit_trait_item: TraitItem, visit_foreign_item: ForeignItem,
        visit_stmt: Stmt, visit_expr: Expr, visit_arm: Arm, visit_field_value: FieldValue,
        visit_field: Field, visit_variant: Variant, visit_fn_arg: FnArg, visit_variadic: Variadic,
        visit_generic_param: GenericParam, visit_where_predicate: WherePredicate,
        visit_pat: Pat, visit_field_pat: FieldPat, visit_type: Type, visit_named_arg: NamedArg
    );
    functions!(
        visit_item_fn: ItemFn, visit_impl_item_fn: ImplItemFn, visit_trait_item_fn: TraitItemFn
    );

    fn visit_item(&mut self, item: &'ast Syntax) {
        let outer = self.builds;
        visit::visit_item(self, item);
        let defined = match item {
            Syntax::Struct(item) => Some((&item.ident, TYPE | VALUE)),
            Syntax::Enum(item) => Some((&item.ident, TYPE)),
            Syntax::Union(item) => Some((&item.ident, TYPE)),
            Syntax::Trait(item) => Some((&item.ident, TYPE)),
            Syntax::TraitAlias(item) => Some((&item.ident, TYPE)),
            Syntax::Type(item) => Some((&item.ident, TYPE)),
            Syntax::Fn(item) => Some((&item.sig.ident, VALUE)),
            Syntax::Const(item) => Some((&item.ident, VALUE)),
            Syntax::Static(item) => Some((&item.ident, VALUE)),
            Syntax::Macro(item) => item.ident.as_ref().map(|ident| (ident, MACRO)),
            _ => None,
        };
        let module = &mut self.found.modules[self.scope];
        if let Some((ident, kinds)) = defined {
            let (name, line, builds) = (name(ident), line(ident), self.builds);
            let item = Item {
                name,
                kinds,
                line,
                builds,
            };
            module.items.push(item);
        }
        let defines = !matches!(item, Syntax::Use(_) | Syntax::Mod(_));
        module.is_facade &= !defines || self.builds == 0;
        self.builds = outer;
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.attributes(&module.attrs);
        let name = name(&module.ident);
        let Some((_, items)) = &module.content else {
            return self.read_module(&name, module.attrs.iter().find_map(path_of));
        };
        let below = joined(&self.below, &name);
        let outer = (mem::replace(&mut self.below, below), self.is_inline);
        self.is_inline = true;
        self.open(&name, &self.file(), false, |me| me.items(items));
        (self.below, self.is_inline) = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.attributes(&item.attrs);
        let role = match &item.vis {
            Visibility::Inherited => Role::Use,
            Visibility::Restricted(to) if to.path.is_ident("self") => Role::Use,
            _ => Role::Reexport,
        };
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], role);
        }
    }

    /// `extern crate self as name`.
    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if let (true, Some((_, local))) = (item.ident == "self", &item.rename) {
            let path = vec!["crate".to_owned()];
            self.add_import(Some(name(local)), path, line(local), Role::Use);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        visit::visit_item_impl(self, item);
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) {
            self.note_path(&of.path, TYPE, Role::Impl);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        if block.stmts.iter().any(|stmt| matches!(stmt, Stmt::Item(_))) {
            self.open("{}", &self.file(), true, |me| visit::visit_block(me, block));
        } else {
            visit::visit_block(self, block);
        }
    }

    /// Whom something is visible to is no use.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note_path(path, TYPE | VALUE, Role::Code);
        visit::visit_path(self, path);
    }

    /// What is called is hardly ever a variable.
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        visit::visit_expr_call(self, call);
        if let Expr::Path(function) = &*call.func {
            self.note_path(&function.path, VALUE, Role::Code);
        }
    }

    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        let is_variable = |ident: &Ident| self.variables.contains(&name(ident));
        if !expr.path.get_ident().is_some_and(is_variable) {
            self.attributes(&expr.attrs);
            expr.qself.iter().for_each(|of| self.visit_qself(of));
            self.note_path(&expr.path, VALUE, Role::Code);
            visit::visit_path(self, &expr.path);
        }
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        visit::visit_pat_ident(self, pattern);
        if is_constant(&pattern.ident) {
            let name = name(&pattern.ident);
            self.note(vec![name], VALUE, line(&pattern.ident), Role::Code);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.note_path(&call.path, MACRO, Role::Code);
        self.note_tokens(&call.tokens, false);
    }

    fn visit_attribute(&mut self, attr: &'ast Attribute) {
        self.builds &= builds::of(attr);
        let is = |name| attr.path().is_ident(name);
        if is("cfg") || is("doc") || is("path") {
            return;
        }
        self.note_path(attr.path(), MACRO, Role::Code);
        match &attr.meta {
            Meta::Path(_) => {}
            Meta::List(list) => self.note_tokens(&list.tokens, true),
            Meta::NameValue(pair) => self.visit_expr(&pair.value),
        }
    }
}

/// In a pattern, where anything else is a new variable.
fn is_constant(ident: &Ident) -> bool {
    ident.to_string().starts_with(char::is_uppercase)
}

/// What `#[path = "…"]` says.
fn path_of(attr: &Attribute) -> Option<String> {
    match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The names of all variables in a function.
struct Variables(HashSet<String>);

impl<'ast> Visit<'ast> for Variables {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        visit::visit_pat_ident(self, pattern);
        if !is_constant(&pattern.ident) {
            self.0.insert(name(&pattern.ident));
        }
    }
}
