#include "proxy/server/status_page.h"

#include <gtest/gtest.h>

#include <string_view>

#include "proxy/server/status_files.h"

namespace handfast::server {
namespace {

TEST(StatusPage, IsThereForThisMachineAndForAddresses) {
  for (const char* host : {"localhost", "LocalHost", "handfast.localhost", "127.0.0.1", "127.9.8.7",
                           "[::1]", "192.0.2.7", "[2001:db8::1]"}) {
    EXPECT_TRUE(is_own_host(host)) << host;
  }
}

TEST(StatusPage, IsNotThereForNamesThatSomebodyElseMayPointHere) {
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.nip.io",
        "localhost.", "127.1", "0x7f000001", "2130706433", "[::1", "[]", "[evil]", "localdomain"}) {
    EXPECT_FALSE(is_own_host(host)) << host;
  }
}

TEST(StatusPage, ThePageLoadsNothingFromElsewhereAndMakesNoMarkupOfTexts) {
  for (const std::string_view file : {kStatusHtml, kStatusCss, kStatusJs}) {
    EXPECT_GT(file.size(), 500u);
    for (const char* word :
         {"http://", "https://", "//cdn", "@import", "url(", "innerHTML", "outerHTML",
          "insertAdjacentHTML", "document.write", "eval(", "new Function", " onclick", " style="}) {
      EXPECT_EQ(file.find(word), std::string_view::npos) << word;
    }
  }
}

}  // namespace
}  // namespace handfast::server
