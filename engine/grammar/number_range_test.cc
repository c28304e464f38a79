#include "engine/grammar/number_range.h"

#include <gtest/gtest.h>

#include <cmath>

namespace braid {
namespace {

Decimal D(const std::string& text) { return *ParseDecimal(text); }

// A number and whether it is written as ours are: no -0.
struct Written {
  std::string text;
  bool canonical;
  Decimal value;
};

// Every text of up to five of a few characters.
const std::vector<Written>& Texts() {
  static const std::vector<Written>& all = *[] {
    auto* written = new std::vector<Written>;
    std::vector<std::string> texts = {""};
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::string text = texts[i];
      const Decimal value = ParseDecimal(text).value_or(Decimal{});
      written->push_back({text, Json::accept(text) && !(text[0] == '-' && value.IsZero()), value});
      for (const char letter : {'-', '.', '0', '1', '5', '9'}) {
        if (text.size() < 5) texts.push_back(text + letter);
      }
    }
    return written;
  }();
  return all;
}

void CheckRange(const std::optional<NumberBound>& min, const std::optional<NumberBound>& max, bool integer) {
  NumberSet set{.integer = integer};
  if (min) set.RaiseMin(*min);
  if (max) set.LowerMax(*max);
  const auto dfa = NumberDfa(set);
  ASSERT_TRUE(dfa.ok()) << dfa.status();
  for (const auto& [text, canonical, value] : Texts()) {
    bool in = canonical && !(integer && text.find('.') != std::string::npos);
    if (in && min) in = Compare(value, min->value) > (min->open ? 0 : -1);
    if (in && max) in = Compare(value, max->value) < (max->open ? 0 : 1);
    ASSERT_EQ(LabelOf(*dfa, text) != 0, in)
        << text << " in " << (min ? min->value.Text() : "") << ".." << (max ? max->value.Text() : "");
  }
}

TEST(NumberRange, IsExactAtItsEnds) {
  const std::vector<std::string> bounds = {"-51", "-5.05", "-0.5", "0", "0.19", "1", "9.951", "10", "105"};
  for (const std::string& low : bounds) {
    for (const bool open : {false, true}) {
      CheckRange(NumberBound{D(low), open}, std::nullopt, open);
      CheckRange(std::nullopt, NumberBound{D(low), open}, !open);
    }
    for (const char* high : {"-5", "-0.5", "0", "0.5", "9.96", "11", "519"}) {
      CheckRange(NumberBound{D(low), false}, NumberBound{D(high), false}, false);
      CheckRange(NumberBound{D(low), true}, NumberBound{D(high), true}, true);
    }
  }
}

TEST(NumberRange, MultiplesAreExact) {
  for (const char* divisor : {"1", "5", "7", "0.25", "1.5", "0.01", "1e1", "12"}) {
    NumberSet set;
    ASSERT_TRUE(set.AlsoMultipleOf(D(divisor)).ok());
    const TextDfa dfa = *NumberDfa(set);
    for (const auto& [text, canonical, value] : Texts()) {
      if (!canonical) continue;
      const long scaled = std::lround(std::stod(text) * 1e5), step = std::lround(std::stod(divisor) * 1e5);
      EXPECT_EQ(LabelOf(dfa, text) != 0, scaled % step == 0) << text << " of " << divisor;
    }
  }
}

TEST(NumberRange, ManyDivisorsAreTheirCommonMultiple) {
  NumberSet set;
  for (const char* divisor : {"2", "3", "0.5"}) ASSERT_TRUE(set.AlsoMultipleOf(D(divisor)).ok());
  EXPECT_TRUE(set.Contains(D("12")));
  EXPECT_FALSE(set.Contains(D("4")));
  EXPECT_FALSE(set.AlsoMultipleOf(D("99991")).ok());
}

TEST(NumberRange, EmptyRangesAreSeen) {
  const auto empty = [](const char* min, const char* max, bool integer) {
    NumberSet set{.integer = integer};
    set.RaiseMin({D(min)});
    set.LowerMax({D(max)});
    return set.IsEmpty();
  };
  EXPECT_TRUE(empty("2", "1", false));
  EXPECT_TRUE(empty("1.2", "1.8", true));
  EXPECT_FALSE(empty("1.2", "1.8", false));
  EXPECT_FALSE(empty("-0.5", "0.5", true));
}

TEST(Decimal, KeepsEveryDigit) {
  EXPECT_EQ(D("-00").Text(), "0");
  EXPECT_EQ(D("1.50e3").Text(), "1500");
  EXPECT_EQ(D("-12.5e-3").Text(), "-0.0125");
  EXPECT_EQ(Ceiling(D("-1.5")).Text(), "-1");
  EXPECT_EQ(Floor(D("-9.5")).Text(), "-10");
  EXPECT_EQ(Ceiling(D("9.01")).Text(), "10");
  EXPECT_FALSE(ParseDecimal("1e999"));
  EXPECT_FALSE(ParseDecimal("x"));
}

}  // namespace
}  // namespace braid
