// Tokens with flags and a text from the input: the pieces are those of a search that tries every
// token at every place.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../tests/plain_tokenizer.hpp"
#include "input.hpp"
#include "vecsmith/added_tokens.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vecsmith;
  fuzz::Input input(data, size);
  std::vector<AddedToken> tokens;
  std::vector<std::string> contents;
  for (std::size_t n = input.byte() % 12; n > 0 && !input.empty(); --n) {
    const unsigned flags = input.byte();
    const std::string content = fuzz::well_formed(input.text());  // tokens come from JSON
    tokens.push_back({.content = content,
                      .id = static_cast<std::uint32_t>(n),
                      .single_word = (flags & 1U) != 0,
                      .lstrip = (flags & 2U) != 0,
                      .rstrip = (flags & 4U) != 0});
    contents.push_back(content);
  }
  const std::string_view text = input.bytes(600);
  const AddedTokenMatcher matcher(tokens, contents);
  std::vector<AddedTokenMatcher::Piece> pieces;
  matcher.split(text, pieces);
  const auto expected = testing::plain_split(text, tokens, contents);
  fuzz::require(pieces.size() == expected.size(), "as many pieces");
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const bool is_text = pieces[i].id == AddedTokenMatcher::Piece::kText;
    fuzz::require(pieces[i].text == expected[i].text, "the same text");
    fuzz::require(is_text ? !expected[i].id : expected[i].id == pieces[i].id, "the same token");
  }
  return 0;
}
