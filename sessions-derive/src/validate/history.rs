//! Rules about the whole history: every version changed something, keys are not shared or reused,
//! promises to older builds are kept.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;

use super::line::Versions;
use crate::diag::{Diag, did_you_mean, list};
use crate::model::{From, Model, Source, Stored, Timeline};
use crate::parse::{Changed, Container};

/// Notes on the fields' lines where the type changed inside.
pub(super) fn changed(
    versions: &Versions,
    container: &Container,
    lines: &mut [&mut Timeline],
    diag: &Diag,
) {
    for Changed { field, version } in &container.changed {
        versions.change(*version, diag);
        let (name, number) = (field.unraw().to_string(), version.number);
        let known: Vec<String> = lines.iter().map(|line| line.name.clone()).collect();
        let Some(line) = lines.iter_mut().find(|line| line.name == name) else {
            let guess = did_you_mean(&name, known.iter().map(String::as_str));
            diag.error(field, format!("no stored field `{name}` is known{guess}"));
            continue;
        };
        let text = if number <= line.since {
            format!(
                "`{name}` came in version {}, so that nothing was inside it before: remove this",
                line.since
            )
        } else if line.before.is_some_and(|before| number >= before) {
            format!("`{name}` was removed by then: remove this")
        } else if line.epochs.iter().any(|epoch| epoch.first == number && epoch.first > line.since)
        {
            format!("`{name}` has a `was(before = {number}, ..)`, which says it: remove this")
        } else if line.changed.contains(&number) {
            format!("`{name}` is declared changed in version {number} twice: keep one")
        } else {
            line.changed.push(number);
            continue;
        };
        diag.error_at(version.span, text);
    }
}

/// A version in which nothing changed is a mistake, or is said to be none.
pub(super) fn every_version_changed(model: &Model, container: &Container, diag: &Diag) {
    let Some(version) = container.version else { return };
    let changes = model.lines().flat_map(|line| {
        let epochs = line.epochs.iter().map(|epoch| epoch.first);
        epochs.chain(line.before).chain(line.changed.iter().copied())
    });
    let changed: BTreeSet<u16> = changes.collect();
    let mut declared = BTreeSet::new();
    for unchanged in &container.unchanged {
        let number = unchanged.number;
        let text = if number > model.version {
            format!("this struct is at version {}: bump `version` to {number}", model.version)
        } else if number <= model.oldest {
            format!("version {number} is the oldest that is read: remove this")
        } else if changed.contains(&number) {
            format!("version {number} did change something: remove this")
        } else if !declared.insert(number) {
            format!("version {number} is declared unchanged twice: keep one")
        } else {
            continue;
        };
        diag.error_at(unchanged.span, text);
    }
    let idle = |number: &u16| !changed.contains(number) && !declared.contains(number);
    let idle: Vec<u16> = (model.oldest + 1..=model.version).filter(idle).collect();
    let (Some(first), Some(last)) = (idle.first(), idle.last()) else { return };
    let which = if first == last {
        format!("version {first}")
    } else if usize::from(last - first) + 1 == idle.len() {
        format!("versions {first} to {last}")
    } else {
        format!("versions {}", list(&idle))
    };
    let lower = match usize::from(last - first) + 1 == idle.len() && *last == model.version {
        true => format!("lower `version` to {}, ", first - 1),
        false => String::new(),
    };
    let text = format!(
        "nothing changed in {which}: record the change on its field (`since`, `was`) or on the \
         struct (`removed`, or `changed(field, {first})` for a type that changed inside so that \
         older builds cannot read it), {lower}or write `unchanged({first})`"
    );
    diag.error_at(version.span, text);
}

/// Versions from `first` on, until one that has something else.
struct Tenure<'a> {
    line: &'a Timeline,
    key: &'a str,
    span: Span,
    first: u16,
    /// The first version without; `None` if the newest still has it.
    end: Option<u16>,
    /// The key came with the field, not by a later renaming.
    with_field: bool,
    /// The key went with the field, not by a renaming.
    removed: bool,
}

fn tenures(model: &Model) -> Vec<Tenure<'_>> {
    let mut tenures: Vec<Tenure<'_>> = Vec::new();
    for line in model.lines() {
        for (index, epoch) in line.epochs.iter().enumerate() {
            let next = line.epochs.get(index + 1);
            let end = next.map_or(line.before, |next| Some(next.first));
            match tenures.last_mut() {
                Some(last) if std::ptr::eq(last.line, line) && last.key == epoch.key => {
                    last.end = end;
                    last.span = epoch.key_span;
                    last.removed = next.is_none() && line.before.is_some();
                }
                _ => tenures.push(Tenure {
                    line,
                    key: &epoch.key,
                    span: epoch.key_span,
                    first: epoch.first,
                    end,
                    with_field: index == 0,
                    removed: next.is_none() && line.before.is_some(),
                }),
            }
        }
    }
    tenures
}

/// No two fields share a key in one version, and none takes the key of one that is gone.
pub(super) fn keys(model: &Model, diag: &Diag) {
    let tenures = tenures(model);
    for (index, one) in tenures.iter().enumerate() {
        for other in &tenures[index + 1..] {
            if one.key != other.key || std::ptr::eq(one.line, other.line) {
                continue;
            }
            let shared = one.first.max(other.first);
            let ends = |tenure: &Tenure<'_>| tenure.end.is_some_and(|end| end <= shared);
            if !ends(one) && !ends(other) {
                let text = format!(
                    "`{}` and `{}` share the key `{}` in version {}: give one of them another, \
                     `#[session(key = \"..\")]`",
                    one.line.name,
                    other.line.name,
                    one.key,
                    shared.max(model.oldest)
                );
                diag.error_at(if one.removed { one.span } else { other.span }, text);
                continue;
            }
            let (old, new) = if ends(one) { (one, other) } else { (other, one) };
            reused(old, new, diag);
        }
    }
}

fn reused(old: &Tenure<'_>, new: &Tenure<'_>, diag: &Diag) {
    // Two fields may swap keys in one version: it shuts out the builds from before.
    let (Some(end), true) = (old.end, old.removed || new.with_field) else { return };
    if !old.removed && new.first == end {
        return;
    }
    let went = if old.removed { "removed it" } else { "renamed it" };
    let text = format!(
        "the key `{}` belonged to `{}` until version {end} {went}, and builds of that time still \
         take it for theirs: give this field another, `#[session(key = \"..\")]`",
        new.key, old.line.name
    );
    diag.error_at(new.span, text);
}

/// `compat` is a promise, and this is where it is checked.
pub(super) fn compat(model: &Model, container: &Container, diag: &Diag) {
    let Some(compat) = container.compat.filter(|compat| compat.number <= model.version) else {
        return;
    };
    let min_reader = model.min_reader(model.write);
    if min_reader <= compat.number {
        return;
    }
    let reasons = model.breaking(min_reader);
    let reason = match reasons.is_empty() {
        true => format!("`oldest` is {min_reader}"),
        false => format!("{} in version {min_reader}", reasons.join(" and ")),
    };
    let earlier = min_reader - 1;
    let inside = model.lines().any(|line| line.changed.iter().any(|changed| *changed > earlier));
    let retreat = match earlier >= model.oldest && !inside {
        true => format!(", or write `write = {earlier}` for the first of two deploys"),
        false => String::new(),
    };
    let text = format!(
        "builds of version {} cannot read what this one writes: {reason}; raise `compat` to \
         {min_reader}{retreat}",
        compat.number
    );
    diag.error_at(compat.span, text);
}

/// A living field that has something of a removed one, directly or through others.
struct Heir<'a> {
    name: &'a str,
    /// It is given back to older builds by this field, and could be.
    rebuilds: bool,
    can_rebuild: bool,
}

/// The living fields that have something of this one which version `write` does not have.
fn heirs(model: &Model, source: Source, write: u16) -> Vec<Heir<'_>> {
    let mut heirs = Vec::new();
    let gone = match source {
        Source::Removed(index) => model.removed[index].line.before,
        Source::Field(_) => None,
    };
    let made_from = |from: &Option<From>, line: &Timeline| {
        line.since > write && from.as_ref().is_some_and(|from| from.sources.contains(&source))
    };
    for (_, stored) in model.stored().filter(|(_, stored)| made_from(&stored.from, &stored.line)) {
        let can_rebuild = Some(stored.line.since) == gone;
        let has_back = stored.from.as_ref().is_some_and(|from| from.down.is_some());
        let rebuilds = can_rebuild && has_back;
        heirs.push(Heir { name: &stored.line.name, rebuilds, can_rebuild });
    }
    for (index, removed) in model.removed.iter().enumerate() {
        if made_from(&removed.from, &removed.line) {
            let further = self::heirs(model, Source::Removed(index), write).into_iter();
            heirs.extend(further.map(|heir| Heir { rebuilds: false, can_rebuild: false, ..heir }));
        }
    }
    heirs
}

/// A field that came after the version that is written is carried in its records all the same, or
/// taken apart into what it was made from.
fn carried(model: &Model, ident: &Ident, stored: &Stored, write: u16, diag: &Diag) {
    let Stored { line, from, group, .. } = stored;
    let (name, since) = (&line.name, line.since);
    let later = "add it in the deploy after this one, or remove `write`";
    if let (true, Some(group)) = (model.joins_a_group(stored), group) {
        let text = format!(
            "`{name}` joins the group `{}` in version {since}, and the builds of version {write} \
             that `write = {write}` writes for would take the group apart: {later}",
            model.groups[*group].name
        );
        diag.error(ident, text);
    }
    let Some(From { sources, down: Some(_), .. }) = from else {
        if model.early(line) > write {
            let text = format!(
                "`write = {write}` cannot store `{name}`, as version {write} has another field \
                 under the key `{}`: give this one another, `#[session(key = \"..\")]`, or {later}",
                line.epochs[0].key
            );
            diag.error(ident, text);
        }
        return;
    };
    for source in sources {
        let text = match *source {
            Source::Field(index) => format!(
                "`{name}` is made from `{}`, which stays a field, so that `back` and that field \
                 would both say what older builds find in it: remove `{}` from the struct, or \
                 remove `back`",
                model.fields[index].ident, model.fields[index].ident
            ),
            Source::Removed(index) if model.removed[index].line.since > write => format!(
                "`{name}` is made from `{}`, which came in version {}, so that `write = {write}` \
                 has nothing to write it as: write a version from {} on, or remove `write`",
                model.removed[index].line.name,
                model.removed[index].line.since,
                model.removed[index].line.since
            ),
            Source::Removed(_) => continue,
        };
        diag.error(ident, text);
    }
}

/// Writing an older version needs the way back for each change since.
pub(super) fn inverses(model: &Model, container: &Container, diag: &Diag) {
    let Some(write) = container.write.filter(|write| write.number < model.version) else { return };
    let write = write.number;
    if write < model.oldest {
        return;
    }
    for line in model.lines() {
        for pair in line.epochs.windows(2) {
            let (older, newer) = (&pair[0], &pair[1]);
            if let (Some(up), None, true) = (&older.up, &older.down, newer.first > write) {
                let text = format!(
                    "`write = {write}` needs the way back to the type from before version {}: add \
                     `back = path` for a function of the new type to the old one, or `try_back` \
                     for one that returns a `Result`",
                    newer.first
                );
                diag.error(&up.path, text);
            }
        }
    }
    for (index, removed) in model.removed.iter().enumerate() {
        let line = &removed.line;
        let is_written = line.before.is_some_and(|before| before > write);
        if !is_written {
            continue;
        }
        let source = Source::Removed(index);
        let heirs = heirs(model, source, write);
        let text = match heirs.as_slice() {
            [] if removed.default.is_some() => continue,
            [] => format!(
                "`write = {write}` still writes `{}`: add `default = ..`, the value that older \
                 builds are to find",
                line.name
            ),
            [Heir { rebuilds: true, .. }] => continue,
            [Heir { name, can_rebuild: true, .. }] => format!(
                "`write = {write}` still writes `{}`, whose value is now in `{name}`: add `back = \
                 path` beside its `from`, for a function of `{name}` to what it was made from, or \
                 `try_back` for one that returns a `Result`",
                line.name
            ),
            heirs => format!(
                "`write = {write}` cannot give older builds `{0}` back, as its value is now in {1}: \
                 remove `write`; or keep `{0}` a field of the struct, beside {1}, until the deploy \
                 after this one, and remove it there",
                line.name,
                list(heirs.iter().map(|heir| heir.name))
            ),
        };
        diag.error_at(line.epochs[line.epochs.len() - 1].key_span, text);
    }
    for (field, stored) in model.stored().filter(|(_, stored)| stored.line.since > write) {
        carried(model, &field.ident, stored, write, diag);
    }
    for Changed { field, version } in &container.changed {
        if version.number > write {
            let text = format!(
                "`write = {write}` cannot write the type inside `{field}` as version {write} had \
                 it: remove `write`; or write `unchanged({})` here, let no code of this deploy \
                 make a value that older builds cannot read, and begin to make one in the deploy \
                 after it",
                version.number
            );
            diag.error_at(version.span, text);
        }
    }
}
