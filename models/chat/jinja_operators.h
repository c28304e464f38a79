// What operators and subscripts do with values, as in Python. All throw Error where Python would raise.
#pragma once

#include <optional>
#include <string>

#include "models/chat/jinja_parser.h"
#include "models/chat/jinja_value.h"

namespace braid::jinja {

// Throws what the undefined value says of itself.
[[noreturn]] void ThrowUndefined(const Value& value);

bool IsTrue(const Value& value);
bool Equal(Heap& heap, const Value& a, const Value& b);
// a < b; throws for types without an order.
bool Less(Heap& heap, const Value& a, const Value& b);
bool Contains(Heap& heap, const Value& container, const Value& item);

// a op b for one of the comparisons, in and not in included.
bool Compare(Heap& heap, Op op, const Value& a, const Value& b);
// a op b for one of + - * / // % ** ~.
Value Calculate(Heap& heap, Op op, const Value& a, const Value& b);
Value Negative(const Value& value);

// What a for loop over `value` visits. A generator hands out each item once.
SequenceRef Items(Heap& heap, const Value& value);
// len(value); nullopt when it has none.
std::optional<size_t> Length(const Value& value);

// value[key]; nullopt when there is no such item.
std::optional<Value> Item(Heap& heap, const Value& value, const Value& key);
// value[start:stop:step]; null where nothing was written.
Value Slice(Heap& heap, const Value& value, const Value* start, const Value* stop, const Value* step);

// The number as an integer when it is one or a truth.
std::optional<Int> AsInt(const Value& value);
std::optional<double> AsFloat(const Value& value);  // of an integer, a truth or a float

}  // namespace braid::jinja
