#[allow(non_upper_case_globals, deprecated)]
const _: () = {
    use ::sessions::__private as __s;
    use __s::ByType as _;
    const __value_user_id: __s::Value<Option<u64>> = __s::value::<Option<u64>>();
    const __value_roles: __s::Value<Vec<Role>> = __s::value::<Vec<Role>>();
    const __value_username: __s::Value<String> = __s::value::<String>();
    const __value_locale: __s::Value<String> = __s::value::<String>();
    const __was_cart_total_1: __s::Value<String> = __s::value::<String>();
    const __value_cart_total: __s::Value<Cents> = __s::value::<Cents>();
    const __was_visits_1: __s::Value<u64> = __s::value::<u64>();
    const __value_visits: __s::Value<u64> = __s::value::<u64>();
    const __value_appearance: __s::Value<Appearance> = __s::value::<Appearance>();
    const __past_utm_source: __s::Value<Option<String>> = __s::value::<Option<String>>();
    const __past_theme: __s::Value<String> = __s::value::<String>();
    const __past_font_size: __s::Value<u8> = __s::value::<u8>();
    trait __Defaults {
        fn default_locale() -> String;
    }
    impl __Defaults for UserSession {
        fn default_locale() -> String {
            String::from("en")
        }
    }
    /** Session `user`, schema version 3, reads records of version 1 and later.

 - Version 2: `locale` is added, `visits` changes its key, `utm_source` is removed.
 - Version 3: `appearance` is added, `cart_total` changes its type, `theme` is removed, `font_size` is removed.*/
    #[automatically_derived]
    impl __s::SessionData for UserSession {
        type Owner = u64;
        const SCHEMA: &'static __s::Schema = &__s::Schema::of(
            "user",
            3u16,
            3u16,
            &[
                __s::SchemaVersion::of(
                    1u16,
                    1u16,
                    &[
                        __s::SchemaField::of("user_id", "Option<u64>"),
                        __s::SchemaField::of("roles", "Vec<Role>"),
                        __s::SchemaField::of("login", "String"),
                        __s::SchemaField::of("cart_total", "String"),
                        __s::SchemaField::of("hits", "u64"),
                        __s::SchemaField::of("utm_source", "Option<String>"),
                        __s::SchemaField::of("theme", "String"),
                        __s::SchemaField::of("font_size", "u8"),
                    ],
                ),
                __s::SchemaVersion::of(
                    2u16,
                    2u16,
                    &[
                        __s::SchemaField::of("user_id", "Option<u64>"),
                        __s::SchemaField::of("roles", "Vec<Role>"),
                        __s::SchemaField::of("login", "String"),
                        __s::SchemaField::of("locale", "String"),
                        __s::SchemaField::of("cart_total", "String"),
                        __s::SchemaField::of("visits", "u64"),
                        __s::SchemaField::of("theme", "String"),
                        __s::SchemaField::of("font_size", "u8"),
                    ],
                ),
                __s::SchemaVersion::of(
                    3u16,
                    3u16,
                    &[
                        __s::SchemaField::of("user_id", "Option<u64>"),
                        __s::SchemaField::of("roles", "Vec<Role>"),
                        __s::SchemaField::of("login", "String"),
                        __s::SchemaField::of("locale", "String"),
                        __s::SchemaField::of("cart_total", "Cents"),
                        __s::SchemaField::of("visits", "u64"),
                        __s::SchemaField::of("appearance", "Appearance"),
                    ],
                ),
            ],
        );
        const TABLE: &'static __s::Table = &__s::Table {
            schema: <Self as __s::SessionData>::SCHEMA,
            format: "user/3",
            oldest: 1u16,
            fields: &[
                __s::Field {
                    name: "user_id",
                    key: "user_id",
                    group: ::core::option::Option::Some(0usize),
                    policy: __s::by_type(<__s::Probe<Option<u64>>>::KIND),
                    order: __s::order(<__s::Probe<Option<u64>>>::KIND),
                    kind: <__s::Probe<Option<u64>>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_user_id, __bytes, __out),
                    elements: <__s::Probe<Option<u64>>>::ELEMENTS,
                },
                __s::Field {
                    name: "roles",
                    key: "roles",
                    group: ::core::option::Option::Some(0usize),
                    policy: __s::by_type(<__s::Probe<Vec<Role>>>::KIND),
                    order: __s::order(<__s::Probe<Vec<Role>>>::KIND),
                    kind: <__s::Probe<Vec<Role>>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_roles, __bytes, __out),
                    elements: <__s::Probe<Vec<Role>>>::ELEMENTS,
                },
                __s::Field {
                    name: "username",
                    key: "login",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<String>>::KIND),
                    order: __s::order(<__s::Probe<String>>::KIND),
                    kind: <__s::Probe<String>>::KIND,
                    again: |__bytes, __out| __s::again(
                        &__value_username,
                        __bytes,
                        __out,
                    ),
                    elements: <__s::Probe<String>>::ELEMENTS,
                },
                __s::Field {
                    name: "locale",
                    key: "locale",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<String>>::KIND),
                    order: __s::order(<__s::Probe<String>>::KIND),
                    kind: <__s::Probe<String>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_locale, __bytes, __out),
                    elements: <__s::Probe<String>>::ELEMENTS,
                },
                __s::Field {
                    name: "cart_total",
                    key: "cart_total",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<Cents>>::KIND),
                    order: __s::order(<__s::Probe<Cents>>::KIND),
                    kind: <__s::Probe<Cents>>::KIND,
                    again: |__bytes, __out| __s::again(
                        &__value_cart_total,
                        __bytes,
                        __out,
                    ),
                    elements: <__s::Probe<Cents>>::ELEMENTS,
                },
                __s::Field {
                    name: "visits",
                    key: "visits",
                    group: ::core::option::Option::None,
                    policy: __s::add::<u64>(),
                    order: __s::order(<__s::Probe<u64>>::KIND),
                    kind: <__s::Probe<u64>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_visits, __bytes, __out),
                    elements: <__s::Probe<u64>>::ELEMENTS,
                },
                __s::Field {
                    name: "appearance",
                    key: "appearance",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<Appearance>>::KIND),
                    order: __s::order(<__s::Probe<Appearance>>::KIND),
                    kind: <__s::Probe<Appearance>>::KIND,
                    again: |__bytes, __out| __s::again(
                        &__value_appearance,
                        __bytes,
                        __out,
                    ),
                    elements: <__s::Probe<Appearance>>::ELEMENTS,
                },
            ],
            groups: &[
                __s::Group {
                    name: "owner",
                    policy: __s::Policy::Conflict,
                },
            ],
            owner: ::core::option::Option::Some(__s::Owner {
                field: 0usize,
                display: |__bytes| __s::owner_option::<Self>(&__value_user_id, __bytes),
            }),
            retired: &["font_size", "hits", "theme", "utm_source"],
            migrate: |__reader| {
                <Self as __s::SessionData>::encode(
                    &<Self as __s::SessionData>::of_reader(__reader)?,
                )
            },
            downgrade: ::core::option::Option::None,
        };
        fn fresh() -> Self {
            Self {
                user_id: <Option<u64> as __s::DefaultValue>::default_value(),
                roles: <Vec<Role> as __s::DefaultValue>::default_value(),
                username: <String as __s::DefaultValue>::default_value(),
                locale: <Self as __Defaults>::default_locale(),
                cart_total: <Cents as __s::DefaultValue>::default_value(),
                visits: <u64 as __s::DefaultValue>::default_value(),
                appearance: <Appearance as __s::OnlyDefault>::only_default(),
                cache: <Option<Rendered> as __s::OnlyDefault>::only_default(),
            }
        }
        fn owner(&self) -> ::core::option::Option<&Self::Owner> {
            ::core::option::Option::as_ref(&self.user_id)
        }
        fn read(
            __reader: &mut __s::Reader<'_>,
        ) -> ::core::result::Result<Self, __s::Failed> {
            let __version = __reader.version();
            ::core::result::Result::Ok(Self {
                user_id: __reader.get(&__value_user_id, "user_id", "user_id")?,
                roles: __reader.get(&__value_roles, "roles", "roles")?,
                username: __reader.get(&__value_username, "username", "login")?,
                locale: if __version >= 2u16 {
                    __reader.get(&__value_locale, "locale", "locale")?
                } else if let ::core::option::Option::Some(__early) = __reader
                    .early(1u16, &__value_locale, "locale", "locale")?
                {
                    __early
                } else {
                    <Self as __Defaults>::default_locale()
                },
                cart_total: if __version >= 3u16 {
                    __reader.get(&__value_cart_total, "cart_total", "cart_total")?
                } else {
                    {
                        let __convert: fn(String) -> _ = Cents::parse;
                        let __result = __s::Returned(
                                __convert(
                                    __reader
                                        .get(&__was_cart_total_1, "cart_total", "cart_total")?,
                                ),
                            )
                            .tried::<Cents>();
                        __reader.converted("cart_total", __result)?
                    }
                },
                visits: if __version >= 2u16 {
                    __reader.get(&__value_visits, "visits", "visits")?
                } else {
                    __reader.get(&__was_visits_1, "visits", "hits")?
                },
                appearance: if __version >= 3u16 {
                    __reader.get(&__value_appearance, "appearance", "appearance")?
                } else {
                    {
                        let __convert: fn(String, u8) -> _ = Appearance::from_parts;
                        __s::Returned(
                                __convert(
                                    __reader.get(&__past_theme, "theme", "theme")?,
                                    __reader.get(&__past_font_size, "font_size", "font_size")?,
                                ),
                            )
                            .made::<Appearance>()
                    }
                },
                cache: <Option<Rendered> as __s::OnlyDefault>::only_default(),
            })
        }
        fn encode(&self) -> ::core::result::Result<__s::Encoded, __s::Error> {
            let mut __writer = __s::Writer::new(<Self as __s::SessionData>::TABLE);
            __writer.put(&__value_user_id, &self.user_id)?;
            __writer.put(&__value_roles, &self.roles)?;
            __writer.put(&__value_username, &self.username)?;
            __writer.put(&__value_locale, &self.locale)?;
            __writer.put(&__value_cart_total, &self.cart_total)?;
            __writer.put(&__value_visits, &self.visits)?;
            __writer.put(&__value_appearance, &self.appearance)?;
            ::core::result::Result::Ok(__writer.finish())
        }
    }
};
