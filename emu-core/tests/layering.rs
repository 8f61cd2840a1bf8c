//! The layers of this crate, read from its sources: who may name whom; and what no crate below the program may name of
//! the host.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module by its path from the crate's root; the root's is empty.
type Module = Vec<String>;

/// Circles of files that name each other have at most so many members.
const LARGEST_CIRCLE: usize = 6;

/// The files below the program that touch the host, what they may name, and why. Each must need its place here.
const HOST_EXCEPTIONS: &[(&str, &str, &[&str], &str)] = &[(
    "emu-devices",
    "disk::image",
    &["std::fs", "std::os"],
    "a raw disk image is a file of the host's; how it is opened depends on whether it is a block device",
)];

/// All modules of this crate that are files, with the identifiers of their code. Tests in them do not count.
fn modules() -> BTreeMap<Module, Vec<TokenTree>> {
    modules_of("emu-core")
}

/// [`modules`] of a crate beside this one.
fn modules_of(name: &str) -> BTreeMap<Module, Vec<TokenTree>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name).join("src");
    let mut modules = BTreeMap::new();
    collect(&root, &Vec::new(), &mut modules);
    modules
}

fn collect(folder: &Path, path: &Module, modules: &mut BTreeMap<Module, Vec<TokenTree>>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let file = entry.expect("an entry can be read").path();
        let name = file.file_stem().and_then(|name| name.to_str()).expect("names are UTF-8").to_owned();
        if file.is_dir() {
            collect(&file, &[path.as_slice(), &[name]].concat(), modules);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let module =
                if name == "mod" || name == "lib" { path.clone() } else { [path.as_slice(), &[name]].concat() };
            let text = fs::read_to_string(&file).expect("a source file can be read");
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            modules.insert(module, without_tests(tokens));
        }
    }
}

/// Drops the module behind `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut in_test = false;
    for token in tokens {
        let is_attribute = matches!(kept.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#');
        if is_attribute && token.to_string().replace(' ', "") == "[cfg(test)]" {
            in_test = true;
            kept.pop();
        } else if in_test {
            // `pub(crate)` is a group too.
            let ends = match &token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                token => token.to_string() == ";",
            };
            in_test = !ends;
        } else {
            kept.push(token);
        }
    }
    kept
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(a), TokenTree::Punct(b), ..] if a.as_char() == ':' && b.as_char() == ':')
}

/// The paths that start at `tokens`: one, or those of a tree in braces.
fn paths(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Vec<String>>) {
    match tokens {
        [TokenTree::Ident(name), rest @ ..] => {
            let path = [prefix, &[name.to_string()]].concat();
            if is_path_separator(rest) { paths(&rest[2..], &path, found) } else { found.push(path) }
        }
        [TokenTree::Group(tree), ..] => {
            let branches: Vec<TokenTree> = tree.stream().into_iter().collect();
            let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            branches.split(is_comma).for_each(|branch| paths(branch, prefix, found));
        }
        _ => found.push(prefix.to_vec()),
    }
}

/// The paths from one of `roots` anywhere in some code.
fn named(roots: &[&str], tokens: &[TokenTree], found: &mut Vec<Vec<String>>) {
    for (n, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if roots.iter().any(|root| name == root) => {
                let inside = n >= 2 && is_path_separator(&tokens[n - 2..]);
                if !inside && is_path_separator(&tokens[n + 1..]) {
                    paths(&tokens[n..], &[], found);
                }
            }
            TokenTree::Group(group) => named(roots, &group.stream().into_iter().collect::<Vec<_>>(), found),
            _ => {}
        }
    }
}

/// The file in which what `module` calls `path` stands.
fn resolve(modules: &BTreeMap<Module, Vec<TokenTree>>, module: &Module, path: &[String]) -> Option<Module> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let base = if ups == 0 { &[] } else { &module[..module.len().checked_sub(ups)?] };
    let full = [base, &path[ups.max(1)..]].concat();
    (1..=full.len()).rev().map(|len| full[..len].to_vec()).find(|module| modules.contains_key(module))
}

/// Which files each file names.
fn edges() -> BTreeMap<Module, BTreeSet<Module>> {
    let modules = modules();
    let mut edges = BTreeMap::new();
    for (module, tokens) in &modules {
        let mut found = Vec::new();
        named(&["crate", "super"], tokens, &mut found);
        let mut targets: BTreeSet<Module> = found.iter().filter_map(|path| resolve(&modules, module, path)).collect();
        targets.remove(module);
        edges.insert(module.clone(), targets);
    }
    edges
}

fn reachable(edges: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(module) = waiting.pop() {
        waiting.extend(edges[module].iter().filter(|target| seen.insert((*target).clone())));
    }
    seen
}

fn list(modules: impl IntoIterator<Item = impl AsRef<Module>>) -> String {
    modules.into_iter().map(|module| module.as_ref().join("::")).collect::<Vec<_>>().join(", ")
}

#[test]
fn sources_are_read_as_edges_between_files() {
    let edges = edges();
    let targets = &edges[&vec!["exec".to_owned(), "bits".to_owned()]];
    assert!(targets.contains(&vec!["ir".to_owned(), "uop".to_owned()]), "exec::bits names {}", list(targets));
    assert!(edges.len() > 100, "{} files", edges.len());
}

#[test]
fn low_layers_name_neither_lowering_nor_handlers_nor_blocks() {
    for (module, targets) in edges() {
        if module.first().is_some_and(|layer| ["ir", "state", "mem"].contains(&layer.as_str())) {
            let high = |target: &&Module| ["lower", "exec", "block"].contains(&target[0].as_str());
            let bad: Vec<_> = targets.iter().filter(high).collect();
            assert!(bad.is_empty(), "{} names {}", module.join("::"), list(bad));
        }
    }
}

#[test]
fn lowering_names_neither_handlers_nor_blocks() {
    for (module, targets) in edges() {
        if module.first().is_some_and(|layer| layer == "lower") {
            let bad: Vec<_> = targets.iter().filter(|target| ["exec", "block"].contains(&target[0].as_str())).collect();
            assert!(bad.is_empty(), "{} names {}", module.join("::"), list(bad));
        }
    }
}

#[test]
fn decoder_is_named_in_lowering_and_disassembly_alone() {
    fn names_decoder(token: &TokenTree) -> bool {
        match token {
            TokenTree::Ident(name) => name == "iced_x86",
            TokenTree::Group(group) => group.stream().into_iter().any(|token| names_decoder(&token)),
            _ => false,
        }
    }
    for (module, tokens) in modules() {
        let allowed = module.first().is_some_and(|layer| layer == "lower" || layer == "disasm");
        assert!(allowed || !tokens.iter().any(names_decoder), "{} names iced_x86", module.join("::"));
    }
}

#[test]
fn circles_of_files_are_small() {
    let edges = edges();
    let reach: BTreeMap<_, _> = edges.keys().map(|module| (module, reachable(&edges, module))).collect();
    for (module, targets) in &reach {
        let circle: Vec<_> = targets.iter().filter(|target| reach[target].contains(*module)).collect();
        assert!(circle.len() <= LARGEST_CIRCLE, "a circle of {}: {}", circle.len(), list(circle));
    }
}

/// What some code names of the host: files, environment, network, processes, threads, clocks, its console.
fn host_things(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut found = Vec::new();
    named(&["std"], tokens, &mut found);
    let mut things = BTreeSet::new();
    for path in found {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["std", thing @ ("fs" | "env" | "net" | "os" | "process" | "thread"), ..] => {
                things.insert(format!("std::{thing}"));
            }
            ["std", "time", kind, ..] if *kind != "Duration" => {
                things.insert("std::time".to_owned());
            }
            ["std", "io", "stdin" | "stdout" | "stderr", ..] => {
                things.insert("std::io".to_owned());
            }
            _ => {}
        }
    }
    things
}

#[test]
fn crates_below_the_program_name_neither_files_nor_threads_nor_clocks_of_the_host() {
    for name in ["emu-vmx", "emu-core", "emu-devices"] {
        for (module, tokens) in modules_of(name) {
            // Files behind `#[cfg(test)] mod`.
            let is_test = module.last().is_some_and(|last| last == "tests");
            let module = module.join("::");
            let exception = HOST_EXCEPTIONS.iter().find(|(a, b, ..)| (*a, *b) == (name, module.as_str()));
            let things = host_things(&tokens);
            match exception {
                Some((_, _, allowed, why)) => {
                    let allowed: BTreeSet<String> = allowed.iter().map(|&thing| thing.to_owned()).collect();
                    assert_eq!(things, allowed, "{name}, {module}, where {why}");
                }
                None => assert!(is_test || things.is_empty(), "{name}, {module} names {}", list_words(&things)),
            }
        }
    }
}

fn list_words(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[test]
fn host_things_are_found_in_paths_and_trees_of_use() {
    let code =
        "use std::{fs::File, time::{Duration, Instant}}; fn f() { std::thread::yield_now(); std::io::stderr(); }";
    let tokens: TokenStream = code.parse().expect("it is code");
    let found = host_things(&tokens.into_iter().collect::<Vec<_>>());
    assert_eq!(list_words(&found), "std::fs, std::io, std::thread, std::time");
    let harmless: TokenStream = "use std::time::Duration; use std::io::{Read, Write};".parse().expect("it is code");
    assert!(host_things(&harmless.into_iter().collect::<Vec<_>>()).is_empty());
}
