//! The `fields!` macro: a map written down in code.

/// Makes a [`Map`](crate::value::Map) from fields: `fields! { ct: 1, "a key": "text", inner: fields! { .. } }`.
///
/// Keys that stand in ascending order are found to do so when this is compiled, and cost nothing to put in order.
#[macro_export]
macro_rules! fields {
    (@name $key:ident) => { stringify!($key) };
    (@name $key:literal) => { $key };
    () => { $crate::value::Map::new() };
    ($($key:tt : $value:expr),+ $(,)?) => {{
        const ASCENDING: bool = $crate::value::ascending(&[$($crate::fields!(@name $key)),+]);
        const NAMES: usize = <[&str]>::len(&[$($crate::fields!(@name $key)),+]);
        // Pushed one by one, each field is made where it stays.
        let mut entries = $crate::value::Map::room_for(NAMES);
        $(entries.push((
            $crate::value::Text::const_new($crate::fields!(@name $key)),
            $crate::value::Value::from($value),
        ));)+
        $crate::value::Map::of_fields(ASCENDING, entries)
    }};
}

/// Whether names ascend strictly by their bytes, for [`fields!`](crate::fields).
#[doc(hidden)]
#[must_use]
pub const fn ascending(names: &[&str]) -> bool {
    let mut at = 1;
    while at < names.len() {
        if !is_below(names[at - 1].as_bytes(), names[at].as_bytes()) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_below(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ascend_by_their_bytes_and_none_stands_twice() {
        for (names, expected) in [
            (&[][..], true),
            (&["a"], true),
            (&["", "a", "aa", "b"], true),
            (&["a", "a"], false),
            (&["b", "a"], false),
            (&["aa", "a"], false),
            (&["z", "\u{e9}"], true),
        ] {
            assert_eq!(ascending(names), expected, "{names:?}");
        }
    }

    #[test]
    fn fields_in_any_order_make_the_same_map() {
        let ordered = crate::fields! { a: 1, b: 2, "c d": 3 };
        assert_eq!(crate::fields! { "c d": 3, a: 1, b: 2 }, ordered);
        assert!(ordered.keys().is_sorted());
        assert_eq!(crate::fields! { a: 1, a: 2 }, crate::fields! { a: 2 });
        assert!(crate::fields! {}.is_empty());
    }
}
