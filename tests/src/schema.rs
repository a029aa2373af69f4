//! [`Schemas`]: holds JSON against the schemas of an OpenAPI document, as far as ours uses them. A keyword that is not
//! known here fails, so that none is passed over.

use serde_json::Value;

/// The schemas of one document.
pub struct Schemas<'d> {
    document: &'d Value,
}

impl<'d> Schemas<'d> {
    /// Of an OpenAPI document.
    pub fn of(document: &'d Value) -> Schemas<'d> {
        Schemas { document }
    }

    /// What `$ref` points at, or the value itself.
    pub fn resolve<'v>(&self, value: &'v Value) -> &'v Value
    where
        'd: 'v,
    {
        match value["$ref"].as_str() {
            Some(place) => {
                let pointer = place.strip_prefix('#').unwrap();
                self.document.pointer(pointer).unwrap_or_else(|| panic!("nothing is at {place}"))
            }
            None => value,
        }
    }

    /// Why `value` is not of `schema`, with its place; nothing if it is.
    pub fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(schema, value, "$", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else { panic!("{at}: {schema} is no schema") };
        for (keyword, said) in keywords {
            let holds = match keyword.as_str() {
                "$ref" => {
                    self.check(self.resolve(schema), value, at, faults);
                    true
                }
                "type" => match said {
                    Value::Array(types) => types.iter().any(|one| is(one, value)),
                    one => is(one, value),
                },
                "const" => said == value,
                "enum" => said.as_array().unwrap().contains(value),
                "oneOf" => {
                    let fits = |one: &&Value| self.faults(one, value).is_empty();
                    said.as_array().unwrap().iter().filter(fits).count() == 1
                }
                "pattern" => value.as_str().is_none_or(|text| matches(said.as_str().unwrap(), text)),
                "required" => value.as_object().is_none_or(|fields| {
                    said.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
                }),
                "properties" | "additionalProperties" => {
                    self.check_fields(schema, value, at, faults);
                    true
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(said, item, &format!("{at}[{n}]"), faults);
                    }
                    true
                }
                "minItems" => {
                    value.as_array().is_none_or(|items| items.len() as u64 >= said.as_u64().unwrap())
                }
                "maxItems" => {
                    value.as_array().is_none_or(|items| items.len() as u64 <= said.as_u64().unwrap())
                }
                "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
                "description" | "default" | "contentEncoding" => true,
                unknown => panic!("{at}: the keyword {unknown} is not known"),
            };
            if !holds {
                faults.push(format!("{at}: {value} does not hold to {keyword} {said}"));
            }
        }
    }

    fn check_fields(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for (name, field) in value.as_object().into_iter().flatten() {
            let place = format!("{at}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(known), _) => self.check(known, field, &place, faults),
                (None, Value::Bool(false)) => faults.push(format!("{place} is not in the schema")),
                (None, Value::Null | Value::Bool(true)) => {}
                (None, others) => self.check(others, field, &place, faults),
            }
        }
    }
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("the type {unknown} is not known"),
    }
}

/// Patterns of the form `^` then classes with `{n}`, `{n,}` or `+`, or characters as they stand, then `$`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap();
    let mut text = text;
    while !rest.is_empty() {
        let class = rest.strip_prefix('[').and_then(|after| after.split_once(']'));
        let (allowed, after) = class.unwrap_or_else(|| rest.split_at(1));
        let (least, most, after) = repetition(after);
        let run = text.chars().take_while(|c| in_class(allowed, *c)).count().min(most);
        if run < least {
            return false;
        }
        (text, rest) = (&text[run..], after);
    }
    text.is_empty()
}

fn repetition(after: &str) -> (usize, usize, &str) {
    if let Some(after) = after.strip_prefix('+') {
        return (1, usize::MAX, after);
    }
    let Some((counts, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) else {
        return (1, 1, after);
    };
    match counts.split_once(',') {
        Some((least, _)) => (least.parse().unwrap(), usize::MAX, after),
        None => (counts.parse().unwrap(), counts.parse().unwrap(), after),
    }
}

fn in_class(class: &str, c: char) -> bool {
    let characters: Vec<char> = class.chars().collect();
    let ranges = characters.windows(3).filter(|three| three[1] == '-');
    ranges.into_iter().any(|three| (three[0]..=three[2]).contains(&c)) || (characters == [c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_hold_to_a_schema_is_told_with_its_place() {
        let document = json!({ "defs": { "Id": { "type": "string", "pattern": "^[0-9a-f]{4}$" } } });
        let schemas = Schemas::of(&document);
        let schema = json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "$ref": "#/defs/Id" },
                "more": { "oneOf": [{ "$ref": "#/defs/Id" }, { "type": "null" }] },
            },
            "additionalProperties": false,
        });
        for good in [json!({ "id": "0a9f" }), json!({ "id": "0a9f", "more": null })] {
            assert!(schemas.faults(&schema, &good).is_empty(), "{good}");
        }
        for wrong in [
            json!({}),
            json!([]),
            json!({ "id": "0a9" }),
            json!({ "id": "0a9F" }),
            json!({ "id": "0a9ff" }),
            json!({ "id": 1 }),
            json!({ "id": "0a9f", "more": 1 }),
            json!({ "id": "0a9f", "other": 1 }),
        ] {
            assert!(!schemas.faults(&schema, &wrong).is_empty(), "{wrong}");
        }
        let time = "^[0-9]{4,}-[0-9]{2}T[0-9]+Z$";
        assert!(matches(time, "2026-01T1Z") && !matches(time, "2026-1T1Z") && !matches(time, "2026-01T1Zx"));
    }
}
