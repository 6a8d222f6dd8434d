#!/bin/sh
# What the image is made of, as SPDX 2.3: its Debian packages and our programs.
#   sbom.sh VERSION SECONDS > sbom.spdx.json      SECONDS: when, in Unix time
set -eu
version=$1
created=$(date -u -d "@$2" +%Y-%m-%dT%H:%M:%SZ)
distribution=$(. /etc/os-release && echo "$ID-$VERSION_ID")

cat <<JSON
{
 "spdxVersion": "SPDX-2.3",
 "dataLicense": "CC0-1.0",
 "SPDXID": "SPDXRef-DOCUMENT",
 "name": "handfast-$version",
 "documentNamespace": "https://handfast.dev/sbom/handfast-$version-$distribution-$(dpkg --print-architecture)",
 "creationInfo": {"created": "$created", "creators": ["Tool: image/sbom.sh"]},
 "packages": [
  {"SPDXID": "SPDXRef-handfast", "name": "handfast", "versionInfo": "$version", "downloadLocation": "NOASSERTION",
   "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "filesAnalyzed": false}
JSON
# An SPDXID has letters, digits, dots and dashes: a package's name may have plus signs.
dpkg-query -W -f '${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n' | sort |
  while read -r name installed architecture source upstream; do
    id=$(echo "$name" | sed 's/+/-plus/g')
    cat <<JSON
  ,{"SPDXID": "SPDXRef-$id", "name": "$name", "versionInfo": "$installed", "downloadLocation": "NOASSERTION",
   "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "filesAnalyzed": false,
   "sourceInfo": "$source $upstream",
   "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:deb/debian/$(echo "$name" | sed 's/+/%2B/g')@$(echo "$installed" | sed 's/+/%2B/g; s/~/%7E/g; s/:/%3A/g')?arch=$architecture&distro=$distribution"}]}
JSON
  done
cat <<JSON
 ],
 "relationships": [
  {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-handfast"}
JSON
dpkg-query -W -f '${Package}\n' | sort | sed 's/+/-plus/g' | while read -r id; do
  echo "  ,{\"spdxElementId\": \"SPDXRef-handfast\", \"relationshipType\": \"DEPENDS_ON\", \"relatedSpdxElement\": \"SPDXRef-$id\"}"
done
printf ' ]\n}\n'
