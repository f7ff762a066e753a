//! Writes random ledgers of schema changes as source, for `tests/schema/ledgers.rs`: for each, the
//! struct as every version's build had it, and the same steps as data to compose by hand.
//!
//! `SESSIONS_LEDGERS` seeds it; unset, the ledgers are always the same.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const LEDGERS: u64 = 24;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SESSIONS_LEDGERS");
    let seed = env::var("SESSIONS_LEDGERS").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let mut out = String::new();
    let mut checks = String::new();
    for number in 0..LEDGERS {
        Ledger::random(&mut random).print(number, &mut out, &mut checks);
    }
    let _ = write!(out, "fn check_all(check: &mut Check) {{\n{checks}}}\n");
    let dir = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&dir).join("ledgers.rs"), out).expect("the directory is cargo's own");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ty {
    Number,
    Text,
}

impl Ty {
    fn name(self) -> &'static str {
        match self {
            Self::Number => "u64",
            Self::Text => "String",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Number => Self::Text,
            Self::Text => Self::Number,
        }
    }

    /// The converter from this type to the other, and its opposite.
    fn converters(self) -> (&'static str, &'static str) {
        match self {
            Self::Number => ("with = text", "back = number"),
            Self::Text => ("try_with = try_number", "try_back = try_text"),
        }
    }

    /// A field's default, as the steps have it.
    fn default_value(self, field: usize) -> String {
        match self {
            Self::Number => format!("Default::Number({})", 1000 + field),
            Self::Text => format!("Default::Text(\"default {field}\")"),
        }
    }

    fn default(self, field: usize) -> String {
        match self {
            Self::Number => format!("{}", 1000 + field),
            Self::Text => format!("\"default {field}\".to_owned()"),
        }
    }
}

/// How a field stood from a version on.
#[derive(Clone)]
struct Epoch {
    first: u16,
    key: String,
    ty: Ty,
}

struct Field {
    number: usize,
    since: u16,
    before: Option<u16>,
    /// In ascending order.
    epochs: Vec<Epoch>,
    /// What it was made from, and whether those were removed.
    from: Option<(Vec<usize>, bool)>,
    /// Its type may not change, as another was made from it while it lived on.
    frozen: bool,
}

impl Field {
    fn ty(&self) -> Ty {
        self.epochs[self.epochs.len() - 1].ty
    }

    fn ty_at(&self, version: u16) -> Ty {
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.first <= version);
        epoch.expect("only asked of versions that have it").ty
    }

    fn lives_at(&self, version: u16) -> bool {
        self.since <= version && self.before.is_none_or(|before| version < before)
    }
}

struct Ledger {
    version: u16,
    fields: Vec<Field>,
    /// The steps to each version from the second on, as source.
    steps: Vec<Vec<String>>,
}

impl Ledger {
    fn random(random: &mut Random) -> Self {
        let mut ledger = Self { version: 1, fields: Vec::new(), steps: Vec::new() };
        for _ in 0..2 + random.below(3) {
            ledger.add(random, None);
        }
        for _ in 0..1 + random.below(4) {
            ledger.version += 1;
            ledger.steps.push(Vec::new());
            for _ in 0..random.below(4) {
                ledger.change(random);
            }
        }
        ledger
    }

    fn note(&mut self, step: String) {
        if let Some(steps) = self.steps.last_mut() {
            steps.push(step);
        }
    }

    fn add(&mut self, random: &mut Random, from: Option<(Vec<usize>, bool)>) {
        let number = self.fields.len();
        let made = from.is_some();
        let ty = if made || random.below(2) == 0 { Ty::Text } else { Ty::Number };
        let epochs = vec![Epoch { first: self.version, key: format!("f{number}"), ty }];
        let frozen = false;
        self.fields.push(Field { number, since: self.version, before: None, epochs, from, frozen });
        if !made {
            self.note(format!("Step::Add(\"f{number}\", {})", ty.default_value(number)));
        }
    }

    /// A living field that has not changed in this version yet.
    fn pick(&self, random: &mut Random) -> Option<usize> {
        let idle = |field: &&Field| {
            field.lives_at(self.version) && field.epochs.iter().all(|e| e.first < self.version)
        };
        let idle: Vec<usize> = self.fields.iter().filter(idle).map(|field| field.number).collect();
        (idle.len() > 1).then(|| idle[random.below(idle.len())])
    }

    fn change(&mut self, random: &mut Random) {
        let version = self.version;
        let kind = random.below(6);
        let Some(chosen) = self.pick(random).filter(|_| kind > 0) else {
            return self.add(random, None);
        };
        match kind {
            1 | 2 => {
                let field = &mut self.fields[chosen];
                let mut epoch = field.epochs[field.epochs.len() - 1].clone();
                epoch.first = version;
                let renamed = kind == 1 || field.frozen;
                if renamed || random.below(3) == 0 {
                    epoch.key = format!("f{chosen}_{version}");
                }
                let retyped = !field.frozen && (!renamed || random.below(3) == 0);
                if retyped {
                    epoch.ty = epoch.ty.other();
                }
                let default = epoch.ty.default_value(chosen);
                field.epochs.push(epoch);
                if retyped {
                    self.note(format!("Step::Retype(\"f{chosen}\", {default})"));
                }
            }
            3 => {
                self.remove(chosen);
                self.note(format!("Step::Remove(\"f{chosen}\")"));
            }
            4 => {
                let Some(other) = self.pick(random).filter(|other| *other != chosen) else {
                    return;
                };
                self.remove(chosen);
                self.remove(other);
                let made = self.fields.len();
                self.add(random, Some((vec![chosen, other], true)));
                // Whether it survives is known at the end.
                self.note(format!(
                    "Step::Join(\"f{made}\", \"f{chosen}\", \"f{other}\", {{f{made}}})"
                ));
            }
            _ => {
                self.fields[chosen].frozen = true;
                let made = self.fields.len();
                self.add(random, Some((vec![chosen], false)));
                self.note(format!("Step::Copy(\"f{made}\", \"f{chosen}\")"));
            }
        }
    }

    fn remove(&mut self, number: usize) {
        self.fields[number].before = Some(self.version);
        let ty = self.fields[number].ty();
        self.note(format!("Step::Last(\"f{number}\", {})", ty.default_value(number)));
    }

    fn print(&self, ledger: u64, out: &mut String, checks: &mut String) {
        let _ = writeln!(out, "static L{ledger}: &[&[Step]] = &[");
        for steps in &self.steps {
            let mut steps = steps.join(", ");
            for field in &self.fields {
                let survives = field.before.is_none().to_string();
                steps = steps.replace(&format!("{{f{}}}", field.number), &survives);
            }
            let _ = writeln!(out, "    &[{steps}],");
        }
        let _ = writeln!(out, "];");
        for version in 1..=self.version {
            self.print_build(ledger, version, version, out);
            for older in 1..=version {
                let _ = writeln!(
                    checks,
                    "    check.up::<l{ledger}v{older}w{older}::S, l{ledger}v{version}w{version}::S>\
                     (L{ledger}, {older}, {version});"
                );
            }
        }
        let newest = self.version;
        for write in (1..newest).filter(|write| self.can_write(*write)) {
            self.print_build(ledger, newest, write, out);
            let _ = writeln!(
                checks,
                "    check.down::<l{ledger}v{newest}w{write}::S, l{ledger}v{write}w{write}::S>\
                 (L{ledger}, {newest}, {write});\n    \
                 check.back::<l{ledger}v{newest}w{write}::S, l{ledger}v{write}w{write}::S, \
                 l{ledger}v{newest}w{newest}::S>(L{ledger}, {newest}, {write});"
            );
        }
    }

    /// Whether the newest version admits `write`: no field that an older version has lives on in
    /// others, unless one gives it back.
    fn can_write(&self, write: u16) -> bool {
        self.fields.iter().filter(|field| field.before.is_some_and(|before| before > write)).all(
            |field| match self.heirs(field, write).as_slice() {
                [] => true,
                [heir] => {
                    let heir = &self.fields[*heir];
                    let (sources, joined) = heir.from.as_ref().expect("it was made");
                    let stand = sources.iter().all(|source| self.fields[*source].since <= write);
                    *joined
                        && stand
                        && Some(heir.since) == field.before
                        && sources.contains(&field.number)
                }
                _ => false,
            },
        )
    }

    /// The living fields that have something of this one.
    fn heirs(&self, field: &Field, write: u16) -> Vec<usize> {
        let made = self.fields.iter().filter(|other| {
            let sources = other.from.as_ref().map(|(sources, _)| sources);
            other.since > write && sources.is_some_and(|sources| sources.contains(&field.number))
        });
        let heirs = made.flat_map(|other| match other.before {
            None => vec![other.number],
            // What is made from a field of the past gives nothing back to it.
            Some(_) => self.heirs(other, write),
        });
        heirs.collect()
    }

    /// The struct as the build of `version` has it, which writes the version `write`.
    fn print_build(&self, ledger: u64, version: u16, write: u16, out: &mut String) {
        let changed = |v: u16| {
            self.fields.iter().any(|field| {
                field.before == Some(v) || field.epochs.iter().any(|epoch| epoch.first == v)
            })
        };
        let unchanged: Vec<String> =
            (2..=version).filter(|v| !changed(*v)).map(|v| v.to_string()).collect();
        let _ = writeln!(out, "mod l{ledger}v{version}w{write} {{\n    use super::*;");
        let _ = writeln!(out, "    #[derive(Session)]");
        let _ = write!(out, "    #[session(name = \"ledger\", version = {version}");
        if write < version {
            let _ = write!(out, ", write = {write}");
        }
        if !unchanged.is_empty() {
            let _ = write!(out, ", unchanged({})", unchanged.join(", "));
        }
        let _ = writeln!(out, ")]");
        let mut body = String::new();
        let (mut to_map, mut from_map) = (String::new(), String::new());
        for field in self.fields.iter().filter(|field| field.since <= version) {
            let name = format!("f{}", field.number);
            let mut settings = Vec::new();
            if field.since > 1 {
                settings.push(format!("since = {}", field.since));
            }
            // The build of this version knows only what had happened by then.
            let epochs: Vec<&Epoch> =
                field.epochs.iter().filter(|epoch| epoch.first <= version).collect();
            for pair in epochs.windows(2).rev() {
                let mut was = vec![format!("before = {}", pair[1].first)];
                if pair[0].key != pair[1].key {
                    was.push(format!("name = \"{}\"", pair[0].key));
                }
                if pair[0].ty != pair[1].ty {
                    let (with, back) = pair[0].ty.converters();
                    was.push(format!("ty = {}, {with}, {back}", pair[0].ty.name()));
                }
                settings.push(format!("was({})", was.join(", ")));
            }
            let newest = epochs[epochs.len() - 1];
            let default = format!("default = {}", newest.ty.default(field.number));
            let removed = field.before.filter(|before| *before <= version);
            if removed.is_none() && newest.key != name {
                settings.push(format!("key = \"{}\"", newest.key));
            }
            if let Some((sources, joined)) = &field.from {
                let until = field.since - 1;
                let named = sources.iter().map(|source| {
                    let source = &self.fields[*source];
                    match source.before.filter(|before| *before <= version) {
                        // The ledger calls a removed field by its key.
                        Some(_) => source.epochs[source.epochs.len() - 1].key.clone(),
                        None => format!("f{}", source.number),
                    }
                });
                let named: Vec<String> = named.collect();
                let types = sources.iter().map(|source| self.fields[*source].ty_at(until).name());
                let types: Vec<&str> = types.collect();
                settings.push(format!("from({})", named.join(", ")));
                let types = types.join(", ");
                let with = if *joined { "join" } else { "copy" };
                settings.push(format!("with = {with}::<{types}>"));
                if *joined && removed.is_none() {
                    settings.push(format!("back = split::<{types}>"));
                }
            }
            if let Some(before) = removed {
                settings.push(default);
                let _ = writeln!(
                    out,
                    "    #[session(removed({}: {}, before = {before}, {}))]",
                    newest.key,
                    newest.ty.name(),
                    settings.join(", ")
                );
                continue;
            }
            if field.from.is_none() {
                settings.push(default);
            }
            let _ = writeln!(body, "        #[session({})]", settings.join(", "));
            let _ = writeln!(body, "        {name}: {},", newest.ty.name());
            let _ = writeln!(to_map, "            map.put(\"{name}\", &self.{name});");
            let _ = writeln!(from_map, "            {name}: map.take(\"{name}\"),");
        }
        let _ = writeln!(out, "    pub(super) struct S {{\n{body}    }}");
        let _ = writeln!(out, "    impl Values for S {{");
        let _ = writeln!(
            out,
            "        fn to_map(&self) -> Map {{\n            let mut map = Map::default();\n{to_map}            map\n        }}"
        );
        let _ = writeln!(
            out,
            "        fn from_map(map: &Map) -> Self {{\n            Self {{\n{from_map}            }}\n        }}"
        );
        let _ = writeln!(out, "    }}\n}}");
    }
}
