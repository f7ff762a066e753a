//! What a valid struct means: every field's place in every version. `expand` only reads it.

use std::collections::BTreeSet;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{Expr, Ident, Path, Type};

/// A session type.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    /// The path of the library `sessions`.
    pub(crate) root: Path,
    pub(crate) name: String,
    pub(crate) version: u16,
    /// The lowest readable version.
    pub(crate) oldest: u16,
    /// The version that is written.
    pub(crate) write: u16,
    /// The fields in the order of their declaration.
    pub(crate) fields: Vec<Field>,
    /// Fields of the past.
    pub(crate) removed: Vec<Removed>,
    /// The groups; the owner group is the first.
    pub(crate) groups: Vec<Group>,
}

/// A field of the struct.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// `None`: `skip`.
    pub(crate) stored: Option<Stored>,
}

/// A field that is stored.
pub(crate) struct Stored {
    pub(crate) line: Timeline,
    pub(crate) default: Option<Expr>,
    pub(crate) from: Option<From>,
    pub(crate) owner: Option<OwnerKind>,
    /// The index of its group.
    pub(crate) group: Option<usize>,
    pub(crate) merge: Merge,
    /// The order of a map's entries is part of its value.
    pub(crate) ordered: bool,
}

/// How the owner field's type is written.
pub(crate) enum OwnerKind {
    Always,
    /// An `Option` of this.
    Optional(Box<Type>),
}

/// A field of the past, which `from` may use.
pub(crate) struct Removed {
    pub(crate) line: Timeline,
    pub(crate) default: Option<Expr>,
    pub(crate) from: Option<From>,
}

/// How a field stood in each version that had it.
pub(crate) struct Timeline {
    /// The name in the struct, or in `removed`.
    pub(crate) name: String,
    /// The first version that had it.
    pub(crate) since: u16,
    /// The first version that no longer had it.
    pub(crate) before: Option<u16>,
    /// In ascending order, the first one beginning at `since`; never empty.
    pub(crate) epochs: Vec<Epoch>,
    /// The versions in which the type changed inside, so that older builds cannot read it.
    pub(crate) changed: Vec<u16>,
}

/// Versions in which a field had one key and one type.
pub(crate) struct Epoch {
    pub(crate) first: u16,
    pub(crate) key: String,
    /// Where the key is written.
    pub(crate) key_span: Span,
    pub(crate) ty: Type,
    /// How its values become those of the next epoch, and the reverse.
    pub(crate) up: Option<Function>,
    pub(crate) down: Option<Function>,
}

/// A converter.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) path: Path,
    /// Returns a `Result`.
    pub(crate) fallible: bool,
}

/// What a field is made from in older records.
pub(crate) struct From {
    pub(crate) sources: Vec<Source>,
    pub(crate) up: Function,
    /// Makes the sources' values, as a tuple where there are several.
    pub(crate) down: Option<Function>,
}

/// A field that another is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Field(usize),
    Removed(usize),
}

/// Fields that move together.
pub(crate) struct Group {
    pub(crate) name: String,
    /// Both sides changed it: mine, else a conflict.
    pub(crate) mine: bool,
}

/// What to do with a field that both sides changed.
pub(crate) enum Merge {
    /// What the type suggests.
    ByType,
    Mine,
    Conflict,
    /// One of the ready functions.
    Ready(Ready, Span),
    With(Path),
}

/// The ready policies that need something of the type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    Add,
    Max,
    Or,
    Union,
    Append,
    ClearWins,
}

impl Timeline {
    /// Whether this version has the field.
    pub(crate) fn lives_at(&self, version: u16) -> bool {
        self.since <= version && self.before.is_none_or(|before| version < before)
    }

    /// What `version` changed about the field, but for its being added, in words.
    fn changes(&self, version: u16) -> impl Iterator<Item = String> {
        let steps = self.epochs.windows(2).filter(move |pair| pair[1].first == version);
        let steps = steps.map(|pair| match &pair[0].up {
            Some(_) => format!("`{}` changes its type", self.name),
            None => format!("`{}` changes its key", self.name),
        });
        let inside = self.changed.iter().filter(move |changed| **changed == version);
        let inside = inside.map(|_| format!("the type inside `{}` changes", self.name));
        let steps = steps.chain(inside);
        let removed = self.before.filter(|before| *before == version);
        steps.chain(removed.map(|_| format!("`{}` is removed", self.name)))
    }

    /// How the field stands at a version that has it.
    pub(crate) fn at(&self, version: u16) -> &Epoch {
        // A version before `since` has no epoch: the first one stands in.
        let mut newest_first = self.epochs.iter().rev();
        newest_first.find(|epoch| epoch.first <= version).unwrap_or(&self.epochs[0])
    }
}

impl Model {
    /// The stored fields.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (&Field, &Stored)> {
        self.fields.iter().filter_map(|field| Some((field, field.stored.as_ref()?)))
    }

    /// Every field that ever was, the living ones first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Timeline> {
        let living = self.stored().map(|(_, stored)| &stored.line);
        living.chain(self.removed.iter().map(|removed| &removed.line))
    }

    /// Keys of readable versions that no field of the newest has.
    pub(crate) fn retired(&self) -> BTreeSet<&str> {
        let keys = self.lines().flat_map(|line| &line.epochs).map(|epoch| epoch.key.as_str());
        let living: BTreeSet<&str> =
            self.stored().map(|(_, stored)| stored.line.at(self.version).key.as_str()).collect();
        keys.filter(|key| !living.contains(key)).collect()
    }

    /// The lowest version whose builds can read what is written at `version`.
    pub(crate) fn min_reader(&self, version: u16) -> u16 {
        let changes = self.lines().flat_map(|line| {
            let steps = line.epochs.iter().skip(1).map(|epoch| epoch.first);
            steps.chain(line.before).chain(line.changed.iter().copied())
        });
        let breaking = changes.chain(self.joins()).filter(|change| *change <= version);
        breaking.chain([self.oldest.min(version)]).max().unwrap_or(1)
    }

    /// Whether an older version gets this field back from the one that was made of it.
    pub(crate) fn is_made_back(&self, source: Source) -> bool {
        let Source::Removed(index) = source else { return false };
        let before = self.removed[index].line.before;
        self.stored().any(|(_, stored)| {
            let from = stored.from.as_ref().filter(|from| from.down.is_some());
            Some(stored.line.since) == before
                && from.is_some_and(|from| from.sources.contains(&source))
        })
    }

    /// The oldest version whose records can hold this field although it came later: a build that
    /// writes an older version stores it under its first key, where no other field has that.
    pub(crate) fn early(&self, line: &Timeline) -> u16 {
        let key = &line.epochs[0].key;
        let is_taken = |version: &u16| {
            let mut others = self.lines().filter(|other| !std::ptr::eq(*other, line));
            others.any(|other| other.lives_at(*version) && other.at(*version).key == *key)
        };
        (self.oldest..line.since).rev().find(is_taken).map_or(self.oldest, |taken| taken + 1)
    }

    /// Whether a field took the place of one that it is made from: an older version has that one in
    /// its place.
    pub(crate) fn replaces(&self, line: &Timeline, from: &From) -> bool {
        from.sources.iter().any(|source| match *source {
            Source::Removed(index) => self.removed[index].line.before == Some(line.since),
            Source::Field(_) => false,
        })
    }

    /// Whether an older version is given back the fields that this one was made from, in place of
    /// the field itself.
    pub(crate) fn is_taken_apart(&self, stored: &Stored) -> bool {
        let from = stored.from.as_ref().filter(|from| from.down.is_some());
        from.is_some_and(|from| from.sources.iter().any(|source| self.is_made_back(*source)))
    }

    /// What about `version` keeps older builds from reading it, in words.
    pub(crate) fn breaking(&self, version: u16) -> Vec<String> {
        let renamed_and_removed = self.lines().flat_map(|line| line.changes(version));
        let mut reasons: Vec<String> = renamed_and_removed.collect();
        if self.joins().any(|join| join == version) {
            for (_, stored) in self.stored().filter(|(_, stored)| stored.line.since == version) {
                if let Some(group) = stored.group {
                    let group = &self.groups[group].name;
                    reasons.push(format!("`{}` joins the group `{group}`", stored.line.name));
                }
            }
        }
        reasons
    }

    /// What `version` changed, in words.
    pub(crate) fn changes(&self, version: u16) -> Vec<String> {
        let added = self.lines().filter(|line| line.since == version && version > 1);
        let added = added.map(|line| format!("`{}` is added", line.name));
        added.chain(self.lines().flat_map(|line| line.changes(version))).collect()
    }

    /// The versions in which a field joined a group that already existed: builds from before would
    /// take the group from one side without it.
    fn joins(&self) -> impl Iterator<Item = u16> {
        let joined = self.stored().filter(|(_, stored)| self.joins_a_group(stored));
        joined.map(|(_, stored)| stored.line.since)
    }

    /// Whether a field joined a group that already existed.
    pub(crate) fn joins_a_group(&self, stored: &Stored) -> bool {
        let (Some(group), since) = (stored.group, stored.line.since) else { return false };
        let mut others = self.stored().filter(|(_, other)| other.group == Some(group));
        let existed = group == OWNER_GROUP || others.any(|(_, other)| other.line.since < since);
        since > 1 && existed
    }
}

/// The index of the owner group.
pub(crate) const OWNER_GROUP: usize = 0;

/// A type as text, spaced as it is usually written.
pub(crate) fn type_text(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    let mut out = text.replace(" ,", ",").replace(" ;", ";");
    for token in ["::", "<", ">", "(", ")", "[", "]"] {
        out = out.replace(&format!(" {token}"), token);
        if !matches!(token, ">" | ")" | "]") {
            out = out.replace(&format!("{token} "), token);
        }
    }
    out
}
