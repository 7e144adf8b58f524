#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "character_numbers.hpp"
#include "merges.hpp"
#include "symbol_row.hpp"
#include "vecsmith/bpe.hpp"
#include "word_table.hpp"

namespace vecsmith {

/// A BPE model in the tables that its words are looked up in.
class Bpe::Rules {
 public:
  explicit Rules(const BpeSettings& settings);

  void append(std::string_view word, IdBuffer& ids, std::size_t enough) const;
  void append_all(std::span<const std::string_view> words, IdBuffer& ids,
                  std::vector<std::size_t>& ends) const;

 private:
  // What a character is before anything merges.
  struct Start {
    std::uint32_t symbols[4];
    std::size_t n;  // 0: unknown
    bool is_token;  // not bytes instead of it
  };

  void find_bytes(const BpeSettings& settings);
  void find_characters(const BpeSettings& settings);
  void rank_bytes(const BpeSettings& settings);
  void find_words(const BpeSettings& settings);
  Start start_of(const char*& p, const char* end) const;
  void read(std::string_view word, std::size_t at, SymbolRow& row) const;
  void read_bytes(std::string_view word, std::size_t at, SymbolRow& row) const;
  void read_any(std::string_view word, std::size_t at, SymbolRow& row) const {
    byte_symbols_.empty() ? read(word, at, row) : read_bytes(word, at, row);
  }
  void append_short(std::string_view word, IdBuffer& ids) const;
  void append_short_bytes(std::string_view word, IdBuffer& ids) const;
  void read_short_bytes(std::string_view word, std::uint32_t* symbols, std::int32_t* ranks) const;
  bool read_row(std::string_view word, Merges::WordRow& row) const;
  bool append_windows(std::string_view word, std::size_t window, IdBuffer& ids,
                      std::size_t enough) const;
  bool append_byte_windows(std::string_view word, IdBuffer& ids, std::size_t enough) const;
  void append_whole(std::string_view word, IdBuffer& ids) const;
  void emit(std::span<const std::uint32_t> symbols, IdBuffer& ids) const;
  bool is_cut(const SymbolRow& row, std::size_t i) const {
    return row.begins[i] != kInside && !(fuse_unk_ && row.symbols[i] == unk_);
  }

  Merges merges_;
  std::vector<std::uint32_t> ids_;  // of symbols
  bool ids_are_symbols_ = false;
  std::uint32_t unk_ = Merges::kNone;  // symbol of unknown characters; kNone: they are left out
  bool byte_level_;
  bool fuse_unk_;
  bool ignores_merges_;
  bool may_be_cut_ = true;
  std::array<Start, 256> bytes_{};
  std::array<std::uint32_t, 256> fallback_{};
  CharacterNumbers characters_;
  // Where each byte is one symbol: these, and how soon two bytes merge. Else empty.
  std::vector<std::uint32_t> byte_symbols_;
  std::vector<std::int32_t> byte_ranks_;
  WordTable words_;  // whole tokens, where they go first
};

}  // namespace vecsmith
