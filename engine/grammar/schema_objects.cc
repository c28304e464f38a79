#include "engine/grammar/schema_objects.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int64_t kMaxCounted = 50'000;  // members times count

class MemberChain {
 public:
  MemberChain(const ObjectMembers& members, JsonText* text)
      : members_(members), builder_(text->builder()), comma_(text->Comma()) {
    const auto is_required = [](const ObjectMember& member) { return member.required; };
    first_required_ = std::find_if(Declared().begin(), Declared().end(), is_required) - Declared().begin();
  }

  // Nothing has to be counted: as soon as one member is written, the rest are optional or not, one after another.
  int32_t Uncounted() {
    const size_t end = std::min(first_required_ + 1, Declared().size());
    std::vector<int32_t> rest(end + 1);
    rest[end] = Rest(end);
    if (end > 1) rest[end] = InRule(rest[end]);
    for (size_t i = end; i-- > 1;) rest[i] = InRule(builder_.Sequence({Behind(i), rest[i + 1]}));
    std::vector<int32_t> ways;
    for (size_t i = 0; i < end; ++i) ways.push_back(builder_.Sequence({Declared()[i].node, rest[i + 1]}));
    if (first_required_ >= Declared().size()) ways.push_back(Others(1, -1));
    return builder_.Choice(std::move(ways));
  }

  // A rule for each member and each number of members written before it.
  int32_t Counted() {
    const int64_t last = members_.max >= 0 ? members_.max : members_.min;
    std::vector<int32_t> after(last + 1);
    for (int64_t count = 0; count <= last; ++count) after[count] = InRule(LastOthers(count));
    for (size_t i = Declared().size(); i-- > 0;) {
      std::vector<int32_t> here(last + 1);
      for (int64_t count = 0; count <= last; ++count) here[count] = InRule(FromHere(i, count, after));
      after = std::move(here);
    }
    return after[0];
  }

 private:
  const std::vector<ObjectMember>& Declared() const { return members_.declared; }

  int32_t InRule(int32_t node) {
    const int32_t rule = builder_.NewRule();
    builder_.Define(rule, node);
    return builder_.Rule(rule);
  }

  int32_t Behind(size_t i) {
    const int32_t member = builder_.Sequence({comma_, Declared()[i].node});
    return Declared()[i].required ? member : builder_.Repeat(member, 0, 1);
  }

  int32_t Rest(size_t from) {
    std::vector<int32_t> parts;
    for (size_t i = from; i < Declared().size(); ++i) parts.push_back(Behind(i));
    parts.push_back(OthersBehind(0, -1));
    return builder_.Sequence(std::move(parts));
  }

  int32_t OthersBehind(int64_t min, int64_t max) {
    return builder_.Repeat(builder_.Sequence({comma_, members_.other}), static_cast<int32_t>(min),
                           static_cast<int32_t>(max));
  }

  // As the first members of the object: `min` is at least 1.
  int32_t Others(int64_t min, int64_t max) {
    return builder_.Sequence({members_.other, OthersBehind(min - 1, max < 0 ? -1 : max - 1)});
  }

  // `count` members stand before; a count of members_.min may be more, when there is no maximum.
  int32_t LastOthers(int64_t count) {
    const int64_t min = std::max<int64_t>(members_.min - count, 0), max = members_.max < 0 ? -1 : members_.max - count;
    if (max >= 0 && min > max) return builder_.Nothing();
    if (count > 0) return OthersBehind(min, max);
    if (max == 0) return builder_.Empty();
    const int32_t some = Others(std::max<int64_t>(min, 1), max);
    return min > 0 ? some : builder_.Choice({some, builder_.Empty()});
  }

  int32_t FromHere(size_t i, int64_t count, const std::vector<int32_t>& after) {
    std::vector<int32_t> ways;
    const int64_t last = static_cast<int64_t>(after.size()) - 1;
    if (count < last || members_.max < 0) {
      const int32_t comma = count > 0 ? comma_ : builder_.Empty();
      ways.push_back(builder_.Sequence({comma, Declared()[i].node, after[std::min(count + 1, last)]}));
    }
    if (!Declared()[i].required) ways.push_back(after[count]);
    return builder_.Choice(std::move(ways));
  }

  const ObjectMembers& members_;
  GrammarBuilder& builder_;
  const int32_t comma_;
  size_t first_required_;
};

}  // namespace

absl::StatusOr<int32_t> AddObject(ObjectMembers members, JsonText* text) {
  const int64_t declared = static_cast<int64_t>(members.declared.size());
  const int64_t required = std::count_if(members.declared.begin(), members.declared.end(),
                                         [](const ObjectMember& member) { return member.required; });
  const bool closed = text->builder().IsNothing(members.other);
  if (required >= members.min) members.min = 0;
  if (closed && members.max >= declared) members.max = -1;
  MemberChain chain(members, text);
  const bool may_be_empty = required == 0 && members.min == 0;
  const auto emptiness = may_be_empty ? JsonText::Emptiness::kMayBeEmpty : JsonText::Emptiness::kNever;
  if (members.max < 0 && members.min <= 1)
    return text->Bracketed(JsonText::Brackets::kObject, chain.Uncounted(), emptiness);
  if ((declared + 1) * (std::max(members.min, members.max) + 1) > kMaxCounted) {
    return absl::InvalidArgumentError("minProperties and maxProperties: too high to count to with so many members");
  }
  // An object that counts may be empty by its own chain.
  return text->Bracketed(JsonText::Brackets::kObject, chain.Counted(), JsonText::Emptiness::kNever);
}

}  // namespace braid
