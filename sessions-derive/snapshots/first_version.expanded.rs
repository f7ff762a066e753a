#[allow(non_upper_case_globals, deprecated)]
const _: () = {
    use ::sessions::__private as __s;
    use __s::ByType as _;
    const __value_user: __s::Value<Option<u64>> = __s::value::<Option<u64>>();
    const __value_visits: __s::Value<u32> = __s::value::<u32>();
    const __value_cart: __s::Value<Vec<String>> = __s::value::<Vec<String>>();
    trait __Defaults {
        fn default_cart() -> Vec<String>;
    }
    impl __Defaults for Visitor {
        fn default_cart() -> Vec<String> {
            vec!["welcome".to_owned()]
        }
    }
    /// Session `visitor`, schema version 1.
    #[automatically_derived]
    impl __s::SessionData for Visitor {
        type Owner = u64;
        const SCHEMA: &'static __s::Schema = &__s::Schema::of(
            "visitor",
            1u16,
            1u16,
            &[
                __s::SchemaVersion::of(
                    1u16,
                    1u16,
                    &[
                        __s::SchemaField::of("user", "Option<u64>"),
                        __s::SchemaField::of("visits", "u32"),
                        __s::SchemaField::of("cart", "Vec<String>"),
                    ],
                ),
            ],
        );
        const TABLE: &'static __s::Table = &__s::Table {
            schema: <Self as __s::SessionData>::SCHEMA,
            format: "visitor/1",
            oldest: 1u16,
            fields: &[
                __s::Field {
                    name: "user",
                    key: "user",
                    group: ::core::option::Option::Some(0usize),
                    policy: __s::by_type(<__s::Probe<Option<u64>>>::KIND),
                    order: __s::order(<__s::Probe<Option<u64>>>::KIND),
                    kind: <__s::Probe<Option<u64>>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_user, __bytes, __out),
                    elements: <__s::Probe<Option<u64>>>::ELEMENTS,
                },
                __s::Field {
                    name: "visits",
                    key: "visits",
                    group: ::core::option::Option::None,
                    policy: __s::add::<u32>(),
                    order: __s::order(<__s::Probe<u32>>::KIND),
                    kind: <__s::Probe<u32>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_visits, __bytes, __out),
                    elements: <__s::Probe<u32>>::ELEMENTS,
                },
                __s::Field {
                    name: "cart",
                    key: "cart",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<Vec<String>>>::KIND),
                    order: __s::order(<__s::Probe<Vec<String>>>::KIND),
                    kind: <__s::Probe<Vec<String>>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_cart, __bytes, __out),
                    elements: <__s::Probe<Vec<String>>>::ELEMENTS,
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
                display: |__bytes| __s::owner_option::<Self>(&__value_user, __bytes),
            }),
            retired: &[],
            migrate: |__reader| {
                <Self as __s::SessionData>::encode(
                    &<Self as __s::SessionData>::of_reader(__reader)?,
                )
            },
            downgrade: ::core::option::Option::None,
        };
        fn fresh() -> Self {
            Self {
                user: <Option<u64> as __s::DefaultValue>::default_value(),
                visits: <u32 as __s::DefaultValue>::default_value(),
                cart: <Self as __Defaults>::default_cart(),
                cache: <Option<Rendered> as __s::OnlyDefault>::only_default(),
            }
        }
        fn owner(&self) -> ::core::option::Option<&Self::Owner> {
            ::core::option::Option::as_ref(&self.user)
        }
        fn read(
            __reader: &mut __s::Reader<'_>,
        ) -> ::core::result::Result<Self, __s::Failed> {
            ::core::result::Result::Ok(Self {
                user: __reader.get(&__value_user, "user", "user")?,
                visits: __reader.get(&__value_visits, "visits", "visits")?,
                cart: __reader.get(&__value_cart, "cart", "cart")?,
                cache: <Option<Rendered> as __s::OnlyDefault>::only_default(),
            })
        }
        fn encode(&self) -> ::core::result::Result<__s::Encoded, __s::Error> {
            let mut __writer = __s::Writer::new(<Self as __s::SessionData>::TABLE);
            __writer.put(&__value_user, &self.user)?;
            __writer.put(&__value_visits, &self.visits)?;
            __writer.put(&__value_cart, &self.cart)?;
            ::core::result::Result::Ok(__writer.finish())
        }
    }
};
