//! Fields made from other ones: `from(..)`.

use proc_macro2::Ident;
use syn::ext::IdentExt;

use super::line::{Versions, both, function};
use crate::diag::{Diag, did_you_mean};
use crate::model::{From, Source, Timeline};
use crate::parse::{self, Convert, FieldAttrs, InputField, Removed, Version};

/// Where the fields that `from` may name are found.
pub(super) struct Sources<'a> {
    pub(super) versions: &'a Versions,
    pub(super) fields: &'a [InputField],
    pub(super) lines: &'a [Option<Timeline>],
    pub(super) removed: &'a [(Removed, Timeline)],
}

impl Sources<'_> {
    /// What a living field is made from, if it is.
    pub(super) fn of_field(&self, field: &InputField, diag: &Diag) -> Option<From> {
        let FieldAttrs { default, from, since, convert, skip, .. } = &field.attrs;
        if skip.is_some() {
            return None;
        }
        both(convert, diag);
        let Some(from) = from else {
            self.alone(convert, diag);
            return None;
        };
        if let Some(default) = default {
            let text = "a field made with `from` takes its value in older records from there, and \
                        in a fresh session from its type's `Default`: remove `default`";
            diag.error(default, text);
        }
        self.made(&field.ident, *since, from, convert, diag)
    }

    /// What a field of the past was made from, if it was.
    pub(super) fn of_removed(&self, removed: &Removed, diag: &Diag) -> Option<From> {
        let Removed { name, since, from, convert, .. } = removed;
        both(convert, diag);
        match from {
            Some(from) => self.made(name, *since, from, convert, diag),
            None => {
                self.alone(convert, diag);
                None
            }
        }
    }

    /// Refuses converters without a `from`.
    fn alone(&self, convert: &Convert, diag: &Diag) {
        for converter in convert.all() {
            let name = converter.name();
            let text = format!(
                "`{name}` alone says nothing: to make this field from removed ones write \
                 `from(old_field), {name} = ..`; to change its type write \
                 `was(before = {}, ty = OldType, {name} = ..)`",
                self.versions.version
            );
            diag.error(&converter.key, text);
        }
    }

    fn made(
        &self,
        ident: &Ident,
        since: Option<Version>,
        from: &parse::From,
        convert: &Convert,
        diag: &Diag,
    ) -> Option<From> {
        let up = function(&convert.with, &convert.try_with);
        if up.is_none() {
            let text = "say how the old fields make this one: write `with = path` for a function \
                        of their types to this one, or `try_with = path` for one that returns a \
                        `Result`";
            diag.error_at(from.span, text);
        }
        if from.names.is_empty() {
            let text = "name the fields that this one is made from: `from(first, second)`";
            diag.error_at(from.span, text);
            return None;
        }
        let Some(since) = since else {
            let version = self.versions.version;
            let text = format!("say which version made this field: `since = {version}`");
            diag.error_at(from.span, text);
            return None;
        };
        let sources = from.names.iter().map(|name| self.source(ident, name, since.number, diag));
        // Collected first, so that every unknown name is reported.
        let sources: Vec<_> = sources.collect();
        let sources: Option<Vec<_>> = sources.into_iter().collect();
        let down = function(&convert.back, &convert.try_back);
        Some(From { sources: sources?, up: up?, down })
    }

    fn source(&self, made: &Ident, name: &Ident, since: u16, diag: &Diag) -> Option<Source> {
        let wanted = name.unraw().to_string();
        let named = |line: &Timeline| line.name == wanted && made.unraw() != wanted;
        let removed = self.removed.iter().position(|(_, line)| named(line));
        let living = || self.lines.iter().position(|line| line.as_ref().is_some_and(named));
        let (source, line) = if let Some(index) = removed {
            (Source::Removed(index), Some(&self.removed[index].1))
        } else if let Some(index) = living() {
            (Source::Field(index), self.lines[index].as_ref())
        } else {
            let past = self.removed.iter().map(|(_, line)| line);
            let known = past.chain(self.lines.iter().flatten()).map(|line| line.name.as_str());
            let known = known.filter(|known| made.unraw() != known);
            let mut text = format!("no field `{wanted}` is known{}", did_you_mean(&wanted, known));
            if !text.ends_with('?') {
                text += &format!(
                    "; declare it on the struct, \
                     `#[session(removed({wanted}: OldType, before = {since}))]`"
                );
            }
            diag.error(name, text);
            return None;
        };
        let line = line?;
        let before = since.saturating_sub(1);
        if before > 0 && !line.lives_at(before) {
            let why = match line.before {
                Some(gone) if gone <= before => format!("was removed in version {gone}"),
                _ => format!("came in version {}", line.since),
            };
            let text = format!(
                "`{wanted}` is not there in version {before}, the last one without this field: it \
                 {why}; the fields of one `from` must all stand in the version before `since`"
            );
            diag.error(name, text);
            return None;
        }
        // Its default has its last type, which here is not the one that the converter takes.
        let changed_since =
            line.epochs.iter().any(|epoch| epoch.first > before && epoch.up.is_some());
        let is_made = match source {
            Source::Removed(index) => self.removed[index].0.from.is_some(),
            Source::Field(index) => self.fields[index].attrs.from.is_some(),
        };
        if changed_since && !is_made && line.since > self.versions.oldest {
            let text = format!(
                "`{wanted}` changes its type after version {before}, so there is no value of its \
                 old type for records from before version {}: raise `oldest` to that version",
                line.since
            );
            diag.error_at(name.span(), text);
        }
        Some(source)
    }
}
