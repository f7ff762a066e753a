//! The generated code. Cannot fail: whatever could be wrong was found in `validate`.

mod older;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ConstParam, GenericParam, Generics, Type, TypeParam};

use crate::model::{
    Epoch, Field, From, Function, Merge, Model, OwnerKind, Ready, Removed, Source, Stored,
    Timeline, type_text,
};

/// The impl of `SessionData` for a valid struct.
pub(crate) fn expand(model: &Model) -> TokenStream {
    let Model { ident, root, .. } = model;
    let values = values(model);
    let defaults = defaults(model);
    let schema = schema(model);
    let table = table(model);
    let owner_type = owner_type(model);
    let owner = owner(model);
    let fresh = fresh(model);
    let read = read(model);
    let encode = encode(model);
    let doc = impl_doc(model);
    quote! {
        #[allow(non_upper_case_globals, deprecated)]
        const _: () = {
            use #root::__private as __s;
            use __s::ByType as _;
            #values
            #defaults
            #[doc = #doc]
            #[automatically_derived]
            impl __s::SessionData for #ident {
                type Owner = #owner_type;
                #schema
                #table
                #fresh
                #owner
                #read
                #encode
            }
        };
    }
}

/// A stand-in for a struct that has mistakes, so that its uses add no errors of their own.
pub(crate) fn stub(
    ident: &Ident,
    generics: &Generics,
    root: &TokenStream,
    owner: Option<&Type>,
) -> TokenStream {
    let owner = owner.map_or_else(|| quote!(__s::NoOwner), ToTokens::to_token_stream);
    let parameters = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(TypeParam { ident, bounds, .. }) => {
            Some(quote!(#ident: ::core::marker::Send + 'static + #bounds))
        }
        GenericParam::Const(ConstParam { ident, ty, .. }) => Some(quote!(const #ident: #ty)),
    });
    let arguments = generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(_) => quote!('static),
        GenericParam::Type(TypeParam { ident, .. })
        | GenericParam::Const(ConstParam { ident, .. }) => quote!(#ident),
    });
    quote! {
        const _: () = {
            use #root::__private as __s;
            #[automatically_derived]
            impl<#(#parameters),*> __s::SessionData for #ident<#(#arguments),*> {
                type Owner = #owner;
                const SCHEMA: &'static __s::Schema = __s::NO_SCHEMA;
                const TABLE: &'static __s::Table = __s::NO_TABLE;
                fn fresh() -> Self {
                    ::core::unreachable!()
                }
                fn owner(&self) -> ::core::option::Option<&Self::Owner> {
                    ::core::unreachable!()
                }
                fn read(
                    _: &mut __s::Reader<'_>,
                ) -> ::core::result::Result<Self, __s::Failed> {
                    ::core::unreachable!()
                }
                fn encode(&self) -> ::core::result::Result<__s::Encoded, __s::Error> {
                    ::core::unreachable!()
                }
            }
        };
    }
}

/// What a reader of the user's docs wants to know of the impl.
fn impl_doc(model: &Model) -> String {
    let Model { name, version, oldest, write, .. } = model;
    let mut text = format!(" Session `{name}`, schema version {version}");
    if oldest < version {
        text += &format!(", reads records of version {oldest} and later");
    }
    if write < version {
        text += &format!(", still writes version {write}");
    }
    text += ".";
    for version in oldest + 1..=*version {
        let changes = model.changes(version);
        if !changes.is_empty() {
            let blank = if version == oldest + 1 { "\n\n" } else { "\n" };
            text += &format!("{blank} - Version {version}: {}.", changes.join(", "));
        }
    }
    text
}

/// One constant for each type of each stored field: the only place where serde's traits are asked
/// of it, so that a type without them is one error.
fn values(model: &Model) -> TokenStream {
    let lines =
        model.lines().flat_map(|line| line.epochs.iter().enumerate().map(move |e| (line, e)));
    let values = lines.map(|(line, (index, epoch))| {
        let (value, ty) = (value_name(line, index), &epoch.ty);
        let demand = quote_spanned!(ty.span()=> __s::value::<#ty>());
        quote!(const #value: __s::Value<#ty> = #demand;)
    });
    values.collect()
}

fn value_name(line: &Timeline, epoch: usize) -> Ident {
    let name = &line.name;
    let is_newest = epoch + 1 == line.epochs.len();
    let kind = match (line.before, is_newest) {
        (None, true) => return format_ident!("__value_{name}"),
        (Some(_), true) => return format_ident!("__past_{name}"),
        (None, false) => "was",
        (Some(_), false) => "pastwas",
    };
    format_ident!("__{kind}_{name}_{}", line.epochs[epoch].first)
}

/// The defaults as functions of their own: used for fresh values and for older records, checked
/// once. A trait, so that `Self` means what it does in the struct.
fn defaults(model: &Model) -> TokenStream {
    let living = model.stored().map(|(_, stored)| (&stored.line, stored.default.as_ref()));
    let dead = model.removed.iter().map(|removed| (&removed.line, removed.default.as_ref()));
    let given = living.chain(dead).filter_map(|(line, default)| Some((line, default?)));
    let (mut heads, mut bodies) = (TokenStream::new(), TokenStream::new());
    for (line, default) in given {
        let name = default_name(line);
        let ty = &newest(line).ty;
        heads.extend(quote!(fn #name() -> #ty;));
        bodies.extend(quote!(fn #name() -> #ty { #default }));
    }
    if heads.is_empty() {
        return heads;
    }
    let ident = &model.ident;
    quote! {
        trait __Defaults { #heads }
        impl __Defaults for #ident { #bodies }
    }
}

fn default_name(line: &Timeline) -> Ident {
    format_ident!("{}_{}", if line.before.is_some() { "past" } else { "default" }, line.name)
}

/// The value of a field that a record does not have.
fn default_value(line: &Timeline, given: bool) -> TokenStream {
    let ty = &newest(line).ty;
    if given {
        let name = default_name(line);
        return quote!(<Self as __Defaults>::#name());
    }
    quote_spanned!(ty.span()=> <#ty as __s::DefaultValue>::default_value())
}

/// The default of a field that cannot give its own.
fn only_default(ty: &Type) -> TokenStream {
    quote_spanned!(ty.span()=> <#ty as __s::OnlyDefault>::only_default())
}

fn newest(line: &Timeline) -> &Epoch {
    // A timeline has at least one epoch.
    &line.epochs[line.epochs.len() - 1]
}

fn schema(model: &Model) -> TokenStream {
    let Model { name, version, write, .. } = model;
    let versions = (model.oldest..=model.version).map(|version| {
        let min_reader = model.min_reader(version);
        let lines = model.lines().filter(|line| line.lives_at(version));
        let fields = lines.map(|line| {
            let Epoch { key, ty, .. } = line.at(version);
            let ty = type_text(ty);
            quote!(__s::SchemaField::of(#key, #ty))
        });
        quote!(__s::SchemaVersion::of(#version, #min_reader, &[#(#fields),*]))
    });
    quote! {
        const SCHEMA: &'static __s::Schema =
            &__s::Schema::of(#name, #version, #write, &[#(#versions),*]);
    }
}

fn table(model: &Model) -> TokenStream {
    let format = format!("{}/{}", model.name, model.version);
    let oldest = model.oldest;
    let retired = model.retired();
    let retired = retired.iter();
    let fields = model.stored().map(|(field, stored)| table_field(field, stored));
    let groups = model.groups.iter().map(|group| {
        let name = &group.name;
        let policy = if group.mine { quote!(Mine) } else { quote!(Conflict) };
        quote!(__s::Group { name: #name, policy: __s::Policy::#policy })
    });
    let owner = table_owner(model);
    let downgrade = older::downgrade(model);
    quote! {
        const TABLE: &'static __s::Table = &__s::Table {
            schema: <Self as __s::SessionData>::SCHEMA,
            format: #format,
            oldest: #oldest,
            fields: &[#(#fields),*],
            groups: &[#(#groups),*],
            owner: #owner,
            retired: &[#(#retired),*],
            migrate: |__reader| {
                <Self as __s::SessionData>::encode(&<Self as __s::SessionData>::of_reader(__reader)?)
            },
            downgrade: #downgrade,
        };
    }
}

fn table_field(field: &Field, stored: &Stored) -> TokenStream {
    let ty = &field.ty;
    let name = &stored.line.name;
    let key = &newest(&stored.line).key;
    let group = match stored.group {
        Some(group) => quote!(::core::option::Option::Some(#group)),
        None => quote!(::core::option::Option::None),
    };
    let policy = policy(field, stored);
    let value = value_name(&stored.line, stored.line.epochs.len() - 1);
    let order = match stored.ordered {
        true => quote!(__s::Order::All),
        false => quote!(__s::order(<__s::Probe<#ty>>::KIND)),
    };
    quote! {
        __s::Field {
            name: #name,
            key: #key,
            group: #group,
            policy: #policy,
            order: #order,
            kind: <__s::Probe<#ty>>::KIND,
            again: |__bytes, __out| __s::again(&#value, __bytes, __out),
            elements: <__s::Probe<#ty>>::ELEMENTS,
        }
    }
}

fn policy(field: &Field, stored: &Stored) -> TokenStream {
    let ty = &field.ty;
    let kind = quote!(<__s::Probe<#ty>>::KIND);
    match &stored.merge {
        Merge::ByType => quote!(__s::by_type(#kind)),
        Merge::Mine => quote!(__s::Policy::Mine),
        Merge::Conflict => quote!(__s::Policy::Conflict),
        Merge::Ready(ready, span) => {
            // The policy is what does not fit: the error belongs under it.
            let ty = at(ty, *span);
            match ready {
                Ready::Add => quote_spanned!(*span=> __s::add::<#ty>()),
                Ready::Max => quote_spanned!(*span=> __s::max::<#ty>()),
                Ready::Or => quote_spanned!(*span=> __s::or::<#ty>()),
                Ready::ClearWins => quote_spanned!(*span=> __s::clear_wins::<#ty>()),
                Ready::Union => quote_spanned!(*span=> __s::union::<#ty>(#kind)),
                Ready::Append => quote_spanned!(*span=> __s::append::<#ty>()),
            }
        }
        Merge::With(path) => {
            let value = value_name(&stored.line, stored.line.epochs.len() - 1);
            quote! {
                __s::Policy::Merge(|__three, __out| __s::merge_with(&#value, __three, __out, #path))
            }
        }
    }
}

/// The same tokens with another span.
fn at(tokens: &impl ToTokens, span: Span) -> TokenStream {
    let respan = |token: TokenTree| match token {
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), at(&group.stream(), span));
            inner.set_span(span);
            TokenTree::Group(inner)
        }
        mut other => {
            other.set_span(other.span().located_at(span));
            other
        }
    };
    tokens.to_token_stream().into_iter().map(respan).collect()
}

fn table_owner(model: &Model) -> TokenStream {
    let mut stored = model.stored().enumerate();
    let found =
        stored.find_map(|(index, (_, stored))| Some((index, &stored.line, stored.owner.as_ref()?)));
    let Some((index, line, kind)) = found else {
        return quote!(::core::option::Option::None);
    };
    let value = value_name(line, line.epochs.len() - 1);
    let function = match kind {
        OwnerKind::Always => quote!(__s::owner::<Self>),
        OwnerKind::Optional(_) => quote!(__s::owner_option::<Self>),
    };
    quote! {
        ::core::option::Option::Some(__s::Owner {
            field: #index,
            display: |__bytes| #function(&#value, __bytes),
        })
    }
}

/// The type that names the owner.
fn owner_type(model: &Model) -> TokenStream {
    let mut stored = model.stored();
    let found = stored.find_map(|(field, stored)| match stored.owner.as_ref()? {
        OwnerKind::Always => Some(&field.ty),
        OwnerKind::Optional(inner) => Some(&**inner),
    });
    found.map_or_else(|| quote!(__s::NoOwner), ToTokens::to_token_stream)
}

fn owner(model: &Model) -> TokenStream {
    let mut stored = model.stored();
    let found = stored.find_map(|(field, stored)| {
        let ident = &field.ident;
        Some(match stored.owner.as_ref()? {
            OwnerKind::Always => quote!(::core::option::Option::Some(&self.#ident)),
            OwnerKind::Optional(_) => quote!(::core::option::Option::as_ref(&self.#ident)),
        })
    });
    let owner = found.unwrap_or_else(|| quote!(::core::option::Option::None));
    quote! {
        fn owner(&self) -> ::core::option::Option<&Self::Owner> {
            #owner
        }
    }
}

fn fresh(model: &Model) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        let value = match &field.stored {
            Some(Stored { from: Some(_), .. }) => only_default(ty),
            Some(stored) => default_value(&stored.line, stored.default.is_some()),
            None => only_default(ty),
        };
        quote!(#ident: #value,)
    });
    quote! {
        fn fresh() -> Self {
            Self { #(#fields)* }
        }
    }
}

fn read(model: &Model) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        let value = match &field.stored {
            Some(stored) => read_field(model, stored),
            None => only_default(ty),
        };
        quote!(#ident: #value,)
    });
    let fields: TokenStream = fields.collect();
    let version = version_of("__reader", &fields);
    quote! {
        fn read(
            __reader: &mut __s::Reader<'_>,
        ) -> ::core::result::Result<Self, __s::Failed> {
            #version
            ::core::result::Result::Ok(Self { #fields })
        }
    }
}

/// Asks for the version, where the code needs it.
fn version_of(side: &str, code: &TokenStream) -> TokenStream {
    let side = format_ident!("{side}");
    match mentions(code, "__version") {
        true => quote!(let __version = #side.version();),
        false => TokenStream::new(),
    }
}

fn mentions(code: &TokenStream, name: &str) -> bool {
    code.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        _ => false,
    })
}

fn read_field(model: &Model, stored: &Stored) -> TokenStream {
    let absent = Absent { from: stored.from.as_ref(), default: stored.default.is_some() };
    read_whole(model, &stored.line, absent, model.version)
}

/// What a field is in a record that does not have it.
#[derive(Clone, Copy)]
struct Absent<'a> {
    from: Option<&'a From>,
    /// A default is given.
    default: bool,
}

/// Reads a field of any record, as it stood at version `until`.
fn read_whole(model: &Model, line: &Timeline, absent: Absent<'_>, until: u16) -> TokenStream {
    let present = read_line(model, line, until);
    if line.since <= model.oldest {
        return present;
    }
    let since = line.since;
    let replaces = absent.from.is_some_and(|from| model.replaces(line, from));
    let absent = match absent.from {
        Some(from) => convert_up(line, 0, until, read_from(model, line, from)),
        None => default_value(line, absent.default),
    };
    let first = model.early(line);
    if first >= since || replaces {
        return quote!(if __version >= #since { #present } else { #absent });
    }
    let (name, key, value) = (&line.name, &line.epochs[0].key, value_name(line, 0));
    let early = convert_up(line, 0, until, quote!(__early));
    let found = quote!(__reader.early(#first, &#value, #name, #key)?);
    quote! {
        if __version >= #since {
            #present
        } else if let ::core::option::Option::Some(__early) = #found {
            #early
        } else {
            #absent
        }
    }
}

/// Converts a value of the epoch `at` to what it was at version `until`.
fn convert_up(line: &Timeline, at: usize, until: u16, value: TokenStream) -> TokenStream {
    let mut value = value;
    for pair in line.epochs[at..].windows(2).take_while(|pair| pair[1].first <= until) {
        if let Some(function) = &pair[0].up {
            value = call("__reader", function, &line.name, &[(&pair[0].ty, value)], &pair[1].ty);
        }
    }
    value
}

/// Reads a field of a record that has it, as it stood at version `until`.
fn read_line(model: &Model, line: &Timeline, until: u16) -> TokenStream {
    let name = &line.name;
    let mut code: Option<TokenStream> = None;
    for (index, epoch) in line.epochs.iter().enumerate() {
        let last = index + 1 == line.epochs.len() || line.epochs[index + 1].first > until;
        let end = if last { None } else { Some(line.epochs[index + 1].first) };
        if end.is_some_and(|end| end <= model.oldest) {
            continue;
        }
        let (key, value) = (&epoch.key, value_name(line, index));
        let read = quote!(__reader.get(&#value, #name, #key)?);
        let read = convert_up(line, index, until, read);
        let first = epoch.first;
        code = Some(match code {
            None => read,
            Some(older) => quote!(if __version >= #first { #read } else { #older }),
        });
        if last {
            break;
        }
    }
    code.unwrap_or_default()
}

/// Makes a field's first value from the fields of the version before.
fn read_from(model: &Model, line: &Timeline, from: &From) -> TokenStream {
    let until = line.since - 1;
    let sources = from.sources.iter().map(|source| {
        let (line, absent) = source_of(model, *source);
        (&line.at(until).ty, read_whole(model, line, absent, until))
    });
    let sources: Vec<_> = sources.collect();
    call("__reader", &from.up, &line.name, &sources, &line.epochs[0].ty)
}

fn source_of(model: &Model, source: Source) -> (&Timeline, Absent<'_>) {
    match source {
        Source::Removed(index) => {
            let Removed { line, from, default } = &model.removed[index];
            (line, Absent { from: from.as_ref(), default: default.is_some() })
        }
        Source::Field(index) => match &model.fields[index].stored {
            Some(Stored { line, from, default, .. }) => {
                (line, Absent { from: from.as_ref(), default: default.is_some() })
            }
            None => unreachable!("`validate` admits only stored fields as sources"),
        },
    }
}

/// Calls a converter. Its signature is checked against the path's span.
fn call(
    side: &str,
    function: &Function,
    name: &str,
    arguments: &[(&Type, TokenStream)],
    result: &Type,
) -> TokenStream {
    let Function { path, fallible } = function;
    let side = format_ident!("{side}");
    let types = arguments.iter().map(|(ty, _)| ty);
    let values = arguments.iter().map(|(_, value)| value);
    // All under the path, which is what does not fit. What it returns is checked by a trait, which
    // can say what to write.
    let signature = at(&quote!(fn(#(#types),*) -> _), path.span());
    let binding = at(&quote!(let __convert), path.span());
    let check = quote!(#binding: #signature = #path;);
    if *fallible {
        let tried = at(&quote!(.tried::<#result>()), path.span());
        quote! {{
            #check
            let __result = __s::Returned(__convert(#(#values),*))#tried;
            #side.converted(#name, __result)?
        }}
    } else {
        let made = at(&quote!(.made::<#result>()), path.span());
        quote! {{
            #check
            __s::Returned(__convert(#(#values),*))#made
        }}
    }
}

fn encode(model: &Model) -> TokenStream {
    let puts = model.stored().map(|(field, stored)| {
        let ident = &field.ident;
        let value = value_name(&stored.line, stored.line.epochs.len() - 1);
        quote!(__writer.put(&#value, &self.#ident)?;)
    });
    quote! {
        fn encode(&self) -> ::core::result::Result<__s::Encoded, __s::Error> {
            let mut __writer = __s::Writer::new(<Self as __s::SessionData>::TABLE);
            #(#puts)*
            ::core::result::Result::Ok(__writer.finish())
        }
    }
}
