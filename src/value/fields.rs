//! The `fields!` macro: a map written down in code.

/// Makes a [`Map`](crate::value::Map) from fields: `fields! { ct: 1, "a key": "text", inner: fields! { .. } }`.
#[macro_export]
macro_rules! fields {
    (@key $key:ident) => { $crate::value::Text::const_new(stringify!($key)) };
    (@key $key:literal) => { $crate::value::Text::const_new($key) };
    ($($key:tt : $value:expr),* $(,)?) => {
        $crate::value::Map::from_array([$(($crate::fields!(@key $key), $crate::value::Value::from($value))),*])
    };
}
