//! What is found in tokens, which is all that there is of macros and of attributes.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use syn::{Lit, LitStr};

/// A path among tokens.
pub(crate) struct Written {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether it is called; what is not may be a local variable.
    pub(crate) is_called: bool,
}

/// All paths of these tokens. In attributes, strings may hold paths too.
pub(crate) fn paths(tokens: TokenStream, in_attribute: bool) -> Vec<Written> {
    let mut found = Vec::new();
    collect(tokens, &[], in_attribute, &mut found);
    found
}

/// `before`: what stands before the braces, in `use a::{b, c}`.
fn collect(tokens: TokenStream, before: &[String], in_attribute: bool, found: &mut Vec<Written>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(first) if begins_path(&tokens, at, !before.is_empty()) => {
                let mut path = before.to_vec();
                path.push(name(first));
                at += 1;
                while is_colons(&tokens, at) {
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(next)) => path.push(name(next)),
                        Some(TokenTree::Group(group)) => {
                            collect(group.stream(), &path, in_attribute, found);
                        }
                        // A glob, or the arguments of a generic.
                        _ => break,
                    }
                    at += 3;
                }
                found.push(Written {
                    is_called: is_call(&tokens, at),
                    line: line(first),
                    path,
                });
            }
            TokenTree::Group(group) => {
                collect(group.stream(), &[], in_attribute, found);
                at += 1;
            }
            TokenTree::Literal(literal) if in_attribute => {
                if let Lit::Str(text) = Lit::new(literal.clone()) {
                    found.extend(path_in(&text));
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// As in `#[serde(with = "crate::a::b")]`.
fn path_in(text: &LitStr) -> Option<Written> {
    let path = text.parse::<syn::Path>().ok()?;
    Some(Written {
        path: path.segments.iter().map(|part| name(&part.ident)).collect(),
        line: text.span().start().line,
        is_called: false,
    })
}

/// Whether it is neither a field, a lifetime, a macro's variable nor the rest of a path.
fn begins_path(tokens: &[TokenTree], at: usize, in_braces: bool) -> bool {
    let before = |n: usize| at.checked_sub(n).map(|at| &tokens[at]);
    let is = |n, c| matches!(before(n), Some(TokenTree::Punct(p)) if p.as_char() == c);
    let TokenTree::Ident(ident) = &tokens[at] else {
        return false;
    };
    if in_braces {
        return at == 0 || is(1, ',');
    }
    let is_field = is(1, '.') && !is(2, '.');
    let is_rest = is(1, ':') && is(2, ':');
    !is_field && !is_rest && !is(1, '\'') && (!is(1, '$') || ident == "crate")
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let is = |at: usize| match tokens.get(at) {
        Some(TokenTree::Punct(p)) if p.as_char() == ':' => Some(p.spacing()),
        _ => None,
    };
    is(at) == Some(Spacing::Joint) && is(at + 1).is_some()
}

fn is_call(tokens: &[TokenTree], at: usize) -> bool {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(TokenTree::Punct(p)) => p.as_char() == '!',
        _ => false,
    }
}

pub(crate) fn line(ident: &Ident) -> usize {
    ident.span().start().line
}

/// The name without the `r#` that it may be written with.
pub(crate) fn name(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

/// What tells systems apart.
const OF_SYSTEMS: [&str; 6] = [
    "windows",
    "unix",
    "target_os",
    "target_family",
    "target_env",
    "target_vendor",
];

/// Each name of a system in a `cfg`, `cfg_attr` or `cfg!`, and its line.
pub(crate) fn systems(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            systems(group.stream(), found);
            let before = |n| match at.checked_sub(n).map(|at| &tokens[at]) {
                Some(TokenTree::Ident(ident)) => name(ident),
                Some(TokenTree::Punct(p)) => p.to_string(),
                _ => String::new(),
            };
            let what = if before(1) == "!" {
                before(2)
            } else {
                before(1)
            };
            match what.as_str() {
                "cfg" | "cfg_select" => named(group.stream(), found),
                // Only its first part is a predicate.
                "cfg_attr" => {
                    let is_comma =
                        |t: &TokenTree| matches!(t, TokenTree::Punct(p) if p.as_char() == ',');
                    let first = group.stream().into_iter().take_while(|t| !is_comma(t));
                    named(first.collect(), found);
                }
                _ => {}
            }
        }
    }
}

fn named(predicate: TokenStream, found: &mut Vec<(usize, String)>) {
    for token in predicate {
        match token {
            TokenTree::Ident(ident) if OF_SYSTEMS.contains(&name(&ident).as_str()) => {
                found.push((line(&ident), name(&ident)));
            }
            TokenTree::Group(group) => named(group.stream(), found),
            _ => {}
        }
    }
}

/// The lines in which the parent's parent is named: `super::super`, also with braces between.
pub(crate) fn grandparents(tokens: TokenStream) -> Vec<usize> {
    let mut lines: Vec<usize> = paths(tokens, false)
        .into_iter()
        .filter(|written| written.path.windows(2).any(|two| two == ["super", "super"]))
        .map(|written| written.line)
        .collect();
    lines.dedup();
    lines
}
