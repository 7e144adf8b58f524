// Grapheme clusters against the rules looked up one after another, and against the examples of
// Unicode Standard Annex 29.

#include <cstddef>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "graphemes.hpp"
#include "made_charsmap.hpp"
#include "random_text.hpp"

namespace {

using namespace vecsmith;

// For each character, 1 where a cluster begins.
std::vector<int> beginnings(const std::vector<GraphemeClass>& text) {
  std::vector<int> found;
  GraphemeCluster cluster(GraphemeClass::kOther);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool joined = i > 0 && cluster.add(text[i]);
    if (!joined) cluster = GraphemeCluster(text[i]);
    found.push_back(joined ? 0 : 1);
  }
  return found;
}

std::vector<int> beginnings(std::string_view text) {
  return beginnings(testing::classes_of(testing::characters(text)));
}

std::vector<GraphemeClass> random_classes(testing::Random& random) {
  // few classes at a time, so that the rules that look far back have something to find
  std::vector<GraphemeClass> chosen;
  for (std::size_t i = 0; i < 4; ++i) {
    chosen.push_back(static_cast<GraphemeClass>(random.below(kGraphemeClasses)));
  }
  std::vector<GraphemeClass> classes;
  for (std::size_t i = random.below(12); i-- > 0;) classes.push_back(random.pick(chosen));
  return classes;
}

TEST_CASE(clusters_are_those_of_the_examples_of_the_standard) {
  const std::vector<int> one_of_two = {1, 0};
  CHECK_EQ(beginnings("g\u0308"), one_of_two);
  CHECK_EQ(beginnings("\uac00\u11a8"), one_of_two);
  CHECK_EQ(beginnings("\u0ba8\u0bbf"), one_of_two);
  CHECK_EQ(beginnings("\r\n"), one_of_two);
  CHECK_EQ(beginnings("\u0e01\u0e33"), one_of_two);
  CHECK_EQ(beginnings("\u0600a"), one_of_two);
  CHECK_EQ(beginnings("\u1100\u1161\u11a8"), (std::vector<int>{1, 0, 0}));
  CHECK_EQ(beginnings("\u0915\u094d\u0937\u093f"), (std::vector<int>{1, 0, 0, 0}));
  CHECK_EQ(beginnings("\n\r"), (std::vector<int>{1, 1}));
  CHECK_EQ(beginnings("\u0e01"), std::vector<int>{1});
}

TEST_CASE(a_joiner_binds_two_pictographs_and_nothing_else) {
  CHECK_EQ(beginnings("\u00a9\u200d\u00a9"), (std::vector<int>{1, 0, 0}));
  CHECK_EQ(beginnings("\u00a9\u0301\u200d\u00a9"), (std::vector<int>{1, 0, 0, 0}));
  CHECK_EQ(beginnings("\u00a9\u200d\u200d\u00a9"), (std::vector<int>{1, 0, 0, 1}));
  CHECK_EQ(beginnings("a\u200d\u00a9"), (std::vector<int>{1, 0, 1}));
  CHECK_EQ(beginnings("\u00a9\u200da"), (std::vector<int>{1, 0, 1}));
}

TEST_CASE(a_cluster_grows_as_the_rules_say_one_by_one) {
  testing::Random random(3);
  for (std::size_t i = 0; i < testing::rounds(200'000); ++i) {
    const std::vector<GraphemeClass> classes = random_classes(random);
    std::vector<int> expected;
    for (std::size_t j = 0; j < classes.size(); ++j) {
      expected.push_back(testing::is_boundary(classes, j) ? 1 : 0);
    }
    CHECK_EQ(beginnings(classes), expected);
  }
}

TEST_CASE(classes_that_may_not_join_have_a_boundary_between_them_everywhere) {
  testing::Random random(4);
  for (std::size_t i = 0; i < testing::rounds(100'000); ++i) {
    const std::vector<GraphemeClass> classes = random_classes(random);
    for (std::size_t j = 1; j < classes.size(); ++j) {
      if (!may_join(classes[j - 1], classes[j])) CHECK(testing::is_boundary(classes, j));
    }
  }
}

TEST_CASE(classes_that_may_join_do_so_somewhere) {
  using enum GraphemeClass;
  const std::vector<std::vector<GraphemeClass>> contexts = {
      {}, {kConsonant}, {kConsonant, kLinker}, {kPictograph}};
  for (std::size_t a = 0; a < kGraphemeClasses; ++a) {
    for (std::size_t b = 0; b < kGraphemeClasses; ++b) {
      bool joined = false;
      for (std::vector<GraphemeClass> text : contexts) {
        text.push_back(static_cast<GraphemeClass>(a));
        text.push_back(static_cast<GraphemeClass>(b));
        joined |= !testing::is_boundary(text, text.size() - 1);
      }
      CHECK_EQ(may_join(static_cast<GraphemeClass>(a), static_cast<GraphemeClass>(b)), joined);
    }
  }
}

TEST_CASE(every_code_point_has_a_class) {
  std::vector<std::size_t> counts(kGraphemeClasses);
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    const auto number = static_cast<std::size_t>(grapheme_class(c));
    CHECK(number < kGraphemeClasses);
    if (number < kGraphemeClasses) ++counts[number];
  }
  for (const std::size_t count : counts) CHECK(count > 0);
  // The standard, section 3.12: 19 * 21 syllables without a trailing consonant, 27 with each.
  CHECK_EQ(counts[static_cast<std::size_t>(GraphemeClass::kOpenSyllable)], 399U);
  CHECK_EQ(counts[static_cast<std::size_t>(GraphemeClass::kClosedSyllable)], 399U * 27U);
}

}  // namespace
