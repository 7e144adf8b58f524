// The Unicode normal forms as Hugging Face `tokenizers` gives them: its own tables, older than the
// newest standard. `scripts/generate_normal_forms.py` measures them.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vecsmith {

enum class NormalForm : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// Appends `text` in its normal form to `out`. Ill-formed bytes count as U+FFFD.
void append_normal_form(NormalForm form, std::string_view text, std::string& out);

// Bytes at the beginning of `text` that stay as they are whatever comes behind them; all of them
// where the text surely is in its normal form.
[[nodiscard]] std::size_t normal_prefix(NormalForm form, std::string_view text);

// Full compatibility decomposition of `c` where it is not decompose(c), else nothing.
[[nodiscard]] std::u32string_view decompose_compatibly(char32_t c);

// The character that two become when they stand side by side, or nothing.
[[nodiscard]] std::optional<char32_t> compose(char32_t first, char32_t second);

}  // namespace vecsmith
