//! Merge policies and groups.

use std::collections::BTreeMap;

use crate::diag::{Diag, did_you_mean, list};
use crate::model::{Group, Merge, Ready};
use crate::parse::{self, Container, InputField};

const POLICIES: &[(&str, Option<Ready>)] = &[
    ("mine", None),
    ("conflict", None),
    ("add", Some(Ready::Add)),
    ("max", Some(Ready::Max)),
    ("or", Some(Ready::Or)),
    ("union", Some(Ready::Union)),
    ("append", Some(Ready::Append)),
    ("clear_wins", Some(Ready::ClearWins)),
];

/// The policy of a field.
pub(super) fn policy(field: &InputField, default: Option<Plain>, diag: &Diag) -> Merge {
    let attrs = &field.attrs;
    let grouped = attrs.group.is_some() || attrs.owner.is_some();
    let Some(merge) = &attrs.merge else {
        return match default {
            Some(Plain::Mine) => Merge::Mine,
            Some(Plain::Conflict) => Merge::Conflict,
            None => Merge::ByType,
        };
    };
    if grouped {
        let group = attrs.group.as_ref().map_or_else(|| "owner".to_owned(), syn::LitStr::value);
        let text = format!(
            "the fields of a group move together, so the policy is the group's: remove this, or \
             write `#[session(group(\"{group}\", merge = mine))]` above the struct"
        );
        diag.error_at(merge.span(), text);
    }
    match merge {
        parse::Merge::With(path) => Merge::With(path.clone()),
        parse::Merge::Named(name) => {
            let text = name.to_string();
            match POLICIES.iter().find(|(known, _)| *known == text) {
                Some((_, Some(ready))) => Merge::Ready(*ready, name.span()),
                Some(("conflict", None)) => Merge::Conflict,
                Some(_) => Merge::Mine,
                None => {
                    let guess = did_you_mean(&text, POLICIES.iter().map(|(known, _)| *known));
                    let text = format!(
                        "`{text}` is no merge policy{}",
                        if guess.is_empty() {
                            format!(
                                "; known are {}, and `merge(with = your_function)`",
                                list(POLICIES.iter().map(|(known, _)| known))
                            )
                        } else {
                            guess
                        }
                    );
                    diag.error(name, text);
                    Merge::Mine
                }
            }
        }
    }
}

/// A policy that fits every type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Mine,
    Conflict,
}

/// The policy of the fields that name none, where the struct sets it.
pub(super) fn container_default(container: &Container, diag: &Diag) -> Option<Plain> {
    let merge = container.merge.as_ref()?;
    let plain = plain(merge);
    if plain.is_none() {
        let text = "on the struct this is the policy of every field that names none, so it must \
                    fit every type: `merge = mine` or `merge = conflict`; write other policies \
                    above their fields";
        diag.error_at(merge.span(), text);
    }
    plain
}

fn plain(merge: &parse::Merge) -> Option<Plain> {
    match merge {
        parse::Merge::Named(name) if name == "mine" => Some(Plain::Mine),
        parse::Merge::Named(name) if name == "conflict" => Some(Plain::Conflict),
        _ => None,
    }
}

/// The groups, the owner group first.
pub(super) fn groups(container: &Container, fields: &[InputField], diag: &Diag) -> Vec<Group> {
    let mut groups = vec![Group { name: "owner".to_owned(), mine: false }];
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for group in fields.iter().filter_map(|field| field.attrs.group.as_ref()) {
        let name = group.value();
        if !groups.iter().any(|known| known.name == name) {
            groups.push(Group { name: name.clone(), mine: false });
        }
        *members.entry(name).or_default() += 1;
    }
    for group in fields.iter().filter_map(|field| field.attrs.group.as_ref()) {
        let name = group.value();
        if name != "owner" && members.get(&name) == Some(&1) {
            let others =
                groups.iter().map(|other| other.name.as_str()).filter(|other| *other != name);
            let guess = did_you_mean(&name, others);
            let text = format!(
                "this field is alone in the group `{name}`{}",
                match guess.as_str() {
                    "" => "; put the fields that belong together into it, or remove this",
                    guess => guess,
                }
            );
            diag.error(group, text);
        }
    }
    for policy in &container.groups {
        let name = policy.name.value();
        let Some(group) = groups.iter_mut().find(|group| group.name == name) else {
            let guess = did_you_mean(&name, groups.iter().map(|group| group.name.as_str()));
            let text = format!("no field is in the group `{name}`{guess}");
            diag.error(&policy.name, text);
            continue;
        };
        match policy.merge.as_ref().map(|merge| (merge, plain(merge))) {
            Some((_, Some(plain))) => group.mine = plain == Plain::Mine,
            Some((merge, None)) => {
                let text = "a group comes whole from one side: write `merge = mine` or \
                            `merge = conflict`";
                diag.error_at(merge.span(), text);
            }
            None => {
                let text = format!(
                    "say what happens when both sides changed the group: write \
                     `group(\"{name}\", merge = mine)`"
                );
                diag.error(&policy.name, text);
            }
        }
    }
    groups
}
