// A test harness in one header: cases register themselves, main.cpp runs them all.
//
//   TEST_CASE(an_empty_text_has_no_words) {
//     CHECK(words("").empty());
//     CHECK_EQ(words("a b").size(), 2U);
//   }
//
// A failed check prints where and with what values, and the case goes on; an exception that leaves
// a case fails that case alone.

#ifndef VECSMITH_TESTS_CHECK_HPP_
#define VECSMITH_TESTS_CHECK_HPP_

#include <cstddef>
#include <exception>
#include <iostream>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace vecsmith::testing {

struct TestCase {
  const char* name;
  void (*run)();
};

// All cases, in the order their files were linked.
inline std::vector<TestCase>& test_cases() {
  static std::vector<TestCase> cases;
  return cases;
}

// Failed checks of the case that is running.
inline std::size_t& failed_checks() {
  static std::size_t count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, void (*run)()) { test_cases().push_back({name, run}); }
};

// A value as text; bytes outside printable ASCII are escaped, code points print as numbers.
template <typename Value>
std::string show(const Value& value) {
  std::ostringstream out;
  if constexpr (std::is_convertible_v<Value, std::string_view>) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    out << '"';
    for (const char c : std::string_view(value)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte < 0x7F) {
        out << c;
      } else {
        out << "\\x" << kHex[byte >> 4U] << kHex[byte & 0xFU];
      }
    }
    out << '"';
  } else if constexpr (std::is_enum_v<Value>) {
    out << +static_cast<std::underlying_type_t<Value>>(value);
  } else if constexpr (std::is_same_v<Value, bool>) {
    out << (value ? "true" : "false");
  } else if constexpr (std::is_integral_v<Value>) {
    if constexpr (std::is_signed_v<Value>) {
      out << static_cast<long long>(value);
    } else {
      out << static_cast<unsigned long long>(value);
    }
  } else if constexpr (requires { out << value; }) {
    if constexpr (std::is_floating_point_v<Value>) out.precision(17);
    out << value;
  } else if constexpr (requires { value.begin() != value.end(); }) {
    out << '[';
    const char* separator = "";
    for (const auto& item : value) {
      out << separator << show(item);
      separator = ", ";
    }
    out << ']';
  } else {
    out << "(" << sizeof(Value) << " bytes)";
  }
  return out.str();
}

inline void report(const char* file, int line, const std::string& what) {
  ++failed_checks();
  std::cerr << file << ':' << line << ": " << what << '\n';
}

template <typename Left, typename Right>
bool are_equal(const Left& left, const Right& right) {
  // Integers of different signedness compare by value, as in 3 == 3U, never by conversion.
  if constexpr (std::is_integral_v<Left> && std::is_integral_v<Right> &&
                !std::is_same_v<Left, Right>) {
    const bool opposite_signs =
        (std::is_signed_v<Left> && left < Left{}) != (std::is_signed_v<Right> && right < Right{});
    using Wide = std::common_type_t<Left, Right, unsigned>;
    return !opposite_signs && static_cast<Wide>(left) == static_cast<Wide>(right);
  } else {
    return left == right;
  }
}

template <typename Left, typename Right>
void check_equal(const char* file, int line, const char* text, const Left& left,
                 const Right& right) {
  if (are_equal(left, right)) return;
  report(file, line, std::string(text) + " failed: " + show(left) + " != " + show(right));
}

// Runs the cases whose names contain `filter` and prints the totals; the exit status of a program.
inline int run_all(std::string_view filter) {
  std::size_t passed = 0;
  std::size_t failed = 0;
  for (const TestCase& test : test_cases()) {
    if (std::string_view(test.name).find(filter) == std::string_view::npos) continue;
    failed_checks() = 0;
    try {
      test.run();
    } catch (const std::exception& error) {
      report(test.name, 0, std::string("exception: ") + error.what());
    } catch (...) {
      report(test.name, 0, "exception of unknown type");
    }
    if (failed_checks() == 0) {
      ++passed;
    } else {
      ++failed;
      std::cerr << "FAILED " << test.name << " (" << failed_checks() << " checks)\n";
    }
  }
  std::cout << passed << " passed, " << failed << " failed" << std::endl;
  // A filter that selects nothing must not look like success.
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace vecsmith::testing

#define TEST_CASE(name)                                                                \
  static void test_##name();                                                           \
  static const ::vecsmith::testing::Registration register_##name(#name, &test_##name); \
  static void test_##name()

#define CHECK(...)                                                                       \
  do {                                                                                   \
    if (!static_cast<bool>(__VA_ARGS__))                                                 \
      ::vecsmith::testing::report(__FILE__, __LINE__, "CHECK(" #__VA_ARGS__ ") failed"); \
  } while (false)

#define CHECK_EQ(left, right)                                                                     \
  ::vecsmith::testing::check_equal(__FILE__, __LINE__, "CHECK_EQ(" #left ", " #right ")", (left), \
                                   (right))

// Passes when `expression` throws `Error` (or a class derived from it).
#define CHECK_THROWS(expression, Error)                                                      \
  do {                                                                                       \
    bool thrown = false;                                                                     \
    try {                                                                                    \
      static_cast<void>(expression);                                                         \
    } catch (const Error&) {                                                                 \
      thrown = true;                                                                         \
    }                                                                                        \
    if (!thrown)                                                                             \
      ::vecsmith::testing::report(__FILE__, __LINE__, #expression " did not throw " #Error); \
  } while (false)

#endif  // VECSMITH_TESTS_CHECK_HPP_
